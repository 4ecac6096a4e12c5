/** Calls `onIdle` once when `idleMs()` passes `timeoutMs`; returns what stops the watch. */
export function watchIdle(idleMs: () => number, timeoutMs: number, onIdle: () => void): () => void {
  let timer: NodeJS.Timeout;
  const check = (): void => {
    const left = timeoutMs - idleMs();
    if (left <= 0) onIdle();
    else timer = setTimeout(check, left).unref();
  };
  timer = setTimeout(check, timeoutMs).unref();
  return () => clearTimeout(timer);
}
