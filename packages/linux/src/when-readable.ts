import koffi from "koffi";

/**
 * Calls `work` whenever the descriptor can be read, until disposed of: it stands in libuv's own epoll set (koffi.node.poll is libuv's
 * uv_poll). Each call is a turn of the event loop of its own: after a callback from uv_poll itself Node would not run what waits for a
 * promise that was settled in it, until something else happens.
 */
export function whenReadable(fd: number, work: () => void, options: { readonly unref?: boolean } = {}): Disposable {
  let open = true;
  let due = false;
  const handle = koffi.node.poll(fd, { readable: true }, () => {
    if (due) return;
    due = true;
    setImmediate(() => {
      due = false;
      if (open) work();
    });
  });
  if (options.unref === true) handle.unref();
  return {
    [Symbol.dispose]() {
      open = false;
      handle.close();
    },
  };
}
