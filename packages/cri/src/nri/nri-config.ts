/** The node resource interface, as an operator may set it. */
export interface NriConfig {
  /** Where plugins connect; <run folder>/nri.sock unless told. Upstream's is /var/run/nri/nri.sock. */
  readonly socket?: string;
  /** The folder of plugins that are started with the server, files named NN-name; <etc folder>/nri/plugins unless told. */
  readonly pluginDir?: string;
  /** Where a started plugin's configuration is, in NN-name.conf or name.conf; <etc folder>/nri/conf.d unless told. */
  readonly pluginConfigDir?: string;
  /** Within which a plugin that connected has to register; 5000 unless told. */
  readonly registrationTimeoutMs?: number;
  /** Within which a plugin has to answer; one that does not is dropped. 2000 unless told. */
  readonly requestTimeoutMs?: number;
  /** No socket and no plugins. */
  readonly disable?: boolean;
}
