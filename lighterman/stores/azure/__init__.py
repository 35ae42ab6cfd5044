"""Azure Blob storage, and its emulator."""

from lighterman.stores.azure.store import AzureStore, open_azure

__all__ = ["AzureStore", "open_azure"]
