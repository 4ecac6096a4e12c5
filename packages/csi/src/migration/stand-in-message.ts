/** What an Event says of a driver that stands in. */
export const standInMessage = (driver: string, standIn: string): string =>
  `${driver} is not installed: ${standIn} stands in for it; storage.standIns of config.yaml names another, or none`;
