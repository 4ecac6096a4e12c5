/** How long a driver's controller is given for a call: a large volume may have to be moved to where there is room, or a snapshot to copy data. */
const callTimeoutMs = 60_000;

/** The options of a call of a driver's controller. */
export const callOptions = (signal: AbortSignal) => ({ signal, timeoutMs: callTimeoutMs });
