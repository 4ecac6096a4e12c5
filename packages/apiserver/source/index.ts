export { type ApiServer, type ApiServerOptions, startApiServer } from "./server.ts";
export { type CertificateRequest, type KeyPair } from "./pki/certificates.ts";
export { openPki, type Pki } from "./pki/pki.ts";
export { SqliteStorage, type SqliteStorageOptions } from "./storage/sqlite-storage.ts";
export type { ListOptions, ListPage, Storage, StorageEvent, StorageWatch, StoredValue } from "./storage/storage.ts";
