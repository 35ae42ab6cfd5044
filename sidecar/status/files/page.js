"use strict";

// Everything that is shown comes from /status and goes into the page as text, never as markup.

const EVERY_MS = 2000;
const WIDTH = 960;
const HEIGHT = 220;
const MOST_ROWS = 20;
const MOST_RECENT = 10;
const WHY = {
  sending: "is being sent",
  queued: "ready: waits for a free thread",
  resting: "rests until its time has come",
  retrying: "failed: is tried again",
  open: "open for writing: waits for its close",
  temporary: "temporary name: waits for the drain",
};
const PHASE = {
  starting: "starting",
  watching: "watching",
  walking: "the end: the last walk, and what it finds is sent",
  listing: "the end: compares the bucket's listing",
  waiting: "the end: all is sent, main may still write",
  deleting: "the end: deletes what is gone",
  over: "at its end",
};

const byId = (id) => document.getElementById(id);
const sections = new Map();
let answeredAt = null;

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${unit && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

function number(count) {
  return count.toLocaleString("en");
}

function files(count) {
  return count === 1 ? "1 file" : `${number(count)} files`;
}

function sectionFor(told) {
  const name = `${told.path} ${told.connection} ${told.prefix}`;
  if (!sections.has(name)) {
    const section = byId("one").content.firstElementChild.cloneNode(true);
    const parts = {};
    for (const part of section.querySelectorAll("[data-is]")) parts[part.dataset.is] = part;
    byId("outputs").append(section);
    parts.plot.addEventListener("pointermove", (event) => {
      parts.pointer = event.offsetX / parts.plot.clientWidth;
      draw(parts);
    });
    parts.plot.addEventListener("pointerleave", () => {
      parts.pointer = null;
      draw(parts);
    });
    sections.set(name, parts);
  }
  return sections.get(name);
}

function say(parts, texts) {
  for (const [name, text] of Object.entries(texts)) {
    if (parts[name].textContent !== text) parts[name].textContent = text;
  }
}

function fill(table, rows) {
  table.hidden = rows.length === 0;
  table.tBodies[0].replaceChildren(
    ...rows.map((cells) => {
      const row = document.createElement("tr");
      cells.forEach((cell, at) => {
        const place = document.createElement("td");
        if (typeof cell === "string") place.textContent = cell;
        else place.append(...cell);
        if (table.tHead.rows[0].cells[at].className === "n") place.className = "n";
        row.append(place);
      });
      return row;
    }),
  );
}

function show(told) {
  const parts = sectionFor(told);
  const backlog = told.backlog;
  const least = backlog.is_least ? "at least " : "";
  const walks = told.reconciles;
  say(parts, {
    path: told.path,
    place: told.prefix ? `${told.connection}, ${told.prefix}/` : told.connection,
    state: [
      PHASE[told.phase] || told.phase,
      `up ${duration(told.uptime_seconds)}`,
      walks.is_walking
        ? "a reconcile is under way"
        : walks.last_seconds_ago === null
          ? "no reconcile yet"
          : `last reconcile ${duration(walks.last_seconds_ago)} ago over ${files(walks.last_files)}`,
      ...(told.watch_overflows ? [`${number(told.watch_overflows)} overflows of the watch`] : []),
      ...(told.unwatched_directories ? [`${number(told.unwatched_directories)} directories without a watch`] : []),
    ].join(" · "),
    synced: told.synced_files === null ? "–" : files(told.synced_files),
    "synced-more": `${number(told.sent_files)} sent, ${bytes(told.sent_bytes)}`,
    backlog: backlog.files ? least + files(backlog.files) : "nothing",
    "backlog-more": backlog.files ? `${backlog.is_estimate ? "about " : ""}${bytes(backlog.bytes)}` : "",
    needed: backlog.needed_seconds === null ? "unknown" : duration(backlog.needed_seconds),
    "needed-more": `of a grace of ${duration(told.grace_seconds)}`,
    rate: `${bytes(told.bytes_per_second)}/s`,
    "rate-more": `${told.uploads_in_flight} under way, ${number(told.retries)} retries`,
    behind: backlog.behind_seconds ? duration(backlog.behind_seconds) : "up to date",
    "behind-more": "",
    failed: told.failed_files ? files(told.failed_files) : "none",
    "failed-more": Object.entries(told.failures)
      .map(([kind, count]) => `${kind} ${number(count)}`)
      .join(", "),
  });
  parts["failed-tile"].className = told.failed_files ? "bad" : "";
  parts["failed-head"].hidden = told.failed.length === 0;
  fill(
    parts["failed-table"],
    told.failed.slice(0, MOST_ROWS).map((each) => {
      const hint = document.createElement("span");
      hint.className = "hint";
      hint.textContent = each.hint;
      return [each.path, [each.message, hint]];
    }),
  );
  parts["waiting-none"].hidden = told.waiting.length !== 0;
  fill(
    parts["waiting-table"],
    told.waiting.slice(0, MOST_ROWS).map((each) => [
      each.path,
      WHY[each.why] || each.why,
      each.for_seconds === null ? "" : duration(each.for_seconds),
      each.next_seconds === null ? "" : `in ${duration(each.next_seconds)}`,
    ]),
  );
  const reasons = Object.entries(backlog.reasons).filter(([, count]) => count);
  const most = Math.min(told.waiting.length, MOST_ROWS);
  parts["waiting-more"].hidden = backlog.files <= most;
  parts["failed-note"].hidden = told.failed_files <= MOST_ROWS;
  say(parts, {
    "failed-note": `The first ${MOST_ROWS} of ${files(told.failed_files)}.`,
    "waiting-more": `The first ${most}, of ${reasons.map(([why, count]) => `${number(count)} ${why}`).join(", ")}.`,
  });
  parts["recent-none"].hidden = told.recent.length !== 0;
  fill(
    parts["recent-table"],
    told.recent.slice(0, MOST_RECENT).map((each) => [each.path, duration(each.seconds_ago)]),
  );
  parts.history = told.history;
  draw(parts);
}

function shape(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Samples hold sums, so throughput is what came between two of them, drawn as one step.
function draw(parts) {
  const samples = parts.history.map(([ago, sent, , backlog]) => ({ ago, sent, backlog }));
  const last = samples[samples.length - 1];
  samples.push({ ...last, ago: 0 });
  const span = Math.max(60, samples[0].ago);
  const x = (ago) => WIDTH * (1 - ago / span);
  const steps = samples.slice(1).map((now, at) => {
    const before = samples[at];
    const seconds = before.ago - now.ago;
    return { from: before.ago, to: now.ago, rate: seconds > 0 ? (now.sent - before.sent) / seconds : 0 };
  });
  const mostRate = Math.max(1, ...steps.map((step) => step.rate));
  const mostBacklog = Math.max(1, ...samples.map((sample) => sample.backlog));
  const y = (share) => (HEIGHT - 4) * (1 - share) + 2;
  const line = steps.map((step) => `${x(step.from)},${y(step.rate / mostRate)} ${x(step.to)},${y(step.rate / mostRate)}`);
  const backlogLine = samples.map((sample) => `${x(sample.ago)},${y(sample.backlog / mostBacklog)}`);
  const area = [`${x(samples[0].ago)},${y(0)}`, ...line, `${x(0)},${y(0)}`];
  const shapes = [0, 0.5, 1].map((share) => shape("line", { class: "rule", x1: 0, x2: WIDTH, y1: y(share), y2: y(share) }));
  shapes.push(shape("polygon", { class: "sent-area", points: area.join(" ") }));
  shapes.push(shape("polyline", { class: "sent-line", points: line.join(" ") }));
  shapes.push(shape("polyline", { class: "backlog-line", points: backlogLine.join(" ") }));
  let at = `top: ${bytes(mostRate)}/s and ${bytes(mostBacklog)}`;
  if (parts.pointer !== null && parts.pointer !== undefined) {
    const ago = span * (1 - parts.pointer);
    const step = steps.find((each) => each.from >= ago && each.to <= ago) || { rate: 0 };
    const sample = samples.findLast((each) => each.ago >= ago) || samples[0];
    at = `${duration(ago)} ago: ${bytes(step.rate)}/s, backlog ${bytes(sample.backlog)}`;
    shapes.push(shape("line", { class: "cursor", x1: x(ago), x2: x(ago), y1: 0, y2: HEIGHT }));
  }
  parts.plot.replaceChildren(...shapes);
  say(parts, { at });
  const labels = [1, 0.75, 0.5, 0.25, 0].map((share) => {
    const label = document.createElement("span");
    label.textContent = share ? `${duration(span * share)} ago` : "now";
    return label;
  });
  parts.axis.replaceChildren(...labels);
}

function word(text, isGood) {
  const place = byId("word");
  if (place.textContent !== text) place.textContent = text;
  place.className = isGood ? "good" : "bad";
}

async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(15000) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const told = await answer.json();
      answeredAt = Date.now();
      byId("version").textContent = `· lighterman ${told.version}`;
      told.outputs.forEach(show);
      const notReady = told.outputs.filter((each) => !each.is_ready);
      if (notReady.length) word(`not ready: ${notReady.map((each) => each.why_not_ready).join("; ")}`, false);
      else word("ready", true);
    } catch {
      const since = answeredAt === null ? "" : ` for ${duration((Date.now() - answeredAt) / 1000)}: what is shown is that old`;
      word(`no answer${since}`, false);
    }
  }
  setTimeout(look, EVERY_MS);
}

look();
