"""
A reader of kustomizations, as far as the examples use them: resources, components, a config map generator of files, and
strategic merge patches chosen by target. Fields and order are those of
https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/; what it doesn't know is an error.
"""

import copy

import yaml

KNOWN = {
    "apiVersion",
    "kind",
    "resources",
    "components",
    "configMapGenerator",
    "patches",
}
KEYS = {"containers": "name", "initContainers": "name", "volumes": "name", "env": "name"}
"""Lists that are merged by a key of their items: the patchMergeKey of Kubernetes' API types."""
MOUNTS = ("volumeMounts", "mountPath")


def build(directory):
    """The manifests of the kustomization in that directory."""
    return _accumulated(directory, [])


def _accumulated(directory, found):
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text())
    assert not kustomization.keys() - KNOWN, (
        f"unknown to this reader: {kustomization.keys() - KNOWN}"
    )
    found = list(found)
    for name in kustomization.get("resources", []):
        found += [each for each in yaml.safe_load_all((directory / name).read_text()) if each]
    for generator in kustomization.get("configMapGenerator", []):
        found.append(_config_map(directory, generator))
    # Components see what is there by then; the kustomization's own patches come after them.
    for name in kustomization.get("components", []):
        found = _accumulated(directory / name, found)
    for patch in kustomization.get("patches", []):
        found = _patched(directory, patch, found)
    return found


def _config_map(directory, generator):
    assert generator.keys() <= {"name", "files", "options"}
    assert generator["options"] == {"disableNameSuffixHash": True}
    data = {name: (directory / name).read_text() for name in generator["files"]}
    metadata = {"name": generator["name"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _patched(directory, patch, found):
    assert patch.keys() == {"path", "target"}
    change = yaml.safe_load((directory / patch["path"]).read_text())
    content = {
        name: change[name] for name in change if name not in ("apiVersion", "kind", "metadata")
    }
    result = []
    for manifest in found:
        if _is_meant(manifest, patch["target"]):
            assert (manifest["apiVersion"], manifest["kind"]) == (
                change["apiVersion"],
                change["kind"],
            )
            result.append(_merged(manifest, content))
        else:
            result.append(manifest)
    return result


def _is_meant(manifest, target):
    assert target.keys() <= {"kind", "name", "labelSelector"}
    label, _, value = target.get("labelSelector", "").partition("=")
    metadata = manifest["metadata"]
    return (
        manifest["kind"] == target["kind"]
        and target.get("name") in (None, metadata.get("name"))
        and (not label or (metadata.get("labels") or {}).get(label) == value)
    )


def _merged(old, new):
    """A strategic merge: mappings by their fields, lists by their key, with new items first; all else replaced."""
    old = copy.deepcopy(old)
    for name, value in new.items():
        key = MOUNTS[1] if name == MOUNTS[0] else KEYS.get(name)
        if isinstance(value, dict) and isinstance(old.get(name), dict):
            old[name] = _merged(old[name], value)
        elif key and isinstance(old.get(name), list):
            old[name] = _merged_lists(old[name], value, key)
        else:
            old[name] = copy.deepcopy(value)
    return old


def _merged_lists(old, new, key):
    there = {item[key]: item for item in old}
    added = [copy.deepcopy(item) for item in new if item[key] not in there]
    changed = {item[key]: _merged(there[item[key]], item) for item in new if item[key] in there}
    return added + [changed.get(item[key], item) for item in old]
