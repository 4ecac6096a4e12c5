/** The words of the dictionary, each preceded by its length in 32 bits. */
const words = [
  ..."options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges".split(
    " ",
  ),
  ..."age allow authorization cache-control connection content-base content-encoding content-language".split(" "),
  ..."content-length content-location content-md5 content-range content-type date etag expect expires from".split(" "),
  ..."host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location".split(" "),
  ..."max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te".split(" "),
  ..."trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status".split(" "),
  "200 OK",
  "version",
  "HTTP/1.1",
  ..."url public set-cookie keep-alive origin".split(" "),
];

/** What follows the words, without lengths. */
const tail = [
  "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505",
  "203 Non-Authoritative Information",
  "204 No Content",
  "301 Moved Permanently",
  "400 Bad Request",
  "401 Unauthorized",
  "403 Forbidden",
  "404 Not Found",
  "500 Internal Server Error",
  "501 Not Implemented",
  "503 Service Unavailable",
  "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec",
  " 00:00:00",
  " Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT",
  "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,",
  "publicprivatemax-age=gzip,deflate,sdch",
  "charset=utf-8charset=iso-8859-1,utf-,*,enq=0.",
].join("");

const lengthPrefixed = (word: string): Buffer => {
  const bytes = Buffer.alloc(4 + word.length);
  bytes.writeUInt32BE(word.length, 0);
  bytes.write(word, 4, "latin1");
  return bytes;
};

/** The zlib dictionary of every SPDY/3 header block: 1423 bytes fixed by the protocol (SPDY draft 3, section 2.6.10.1). */
export const headerDictionary: Buffer = Buffer.concat([...words.map(lengthPrefixed), Buffer.from(tail, "latin1")]);
