export { type CertificateRequest, type KeyPair } from "./pki/certificate.ts";
export { openPki, type Pki, type TokenKey } from "./pki/pki.ts";
export { type ApiServer, type ApiServerOptions, startApiServer } from "./start-api-server.ts";
export { SqliteStorage, type SqliteStorageOptions } from "./storage/sqlite-storage.ts";
export type {
  ListOptions,
  ListPage,
  Storage,
  StorageEvent,
  StorageWatch,
  StoredValue,
  WatchItem,
} from "./storage/storage.ts";
export type { KubeletAddress } from "./subresources/kubelet-target.ts";
