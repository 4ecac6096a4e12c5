import { connectInNetns } from "@tripod/linux";

/** Fetches `/` from a server by HTTP/1.0, with a connection that is made inside `netns` (the host's unless told). */
export async function fetchFrom(netns: string | undefined, host: string, port: number): Promise<string> {
  const socket = await connectInNetns(netns, { host, port, signal: AbortSignal.timeout(5000) });
  socket.end("GET / HTTP/1.0\r\n\r\n");
  let answer = "";
  for await (const chunk of socket) answer += String(chunk);
  return answer.slice(answer.indexOf("\r\n\r\n") + 4);
}
