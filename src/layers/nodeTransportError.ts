/**
 * Turns what `node:net` and `node:dns` report into `TransportError`. It knows codes only; it never quotes messages, which may
 * name hosts and paths.
 */
import { TransportError } from "../services/RelayTransport.ts"

const kindOfCode: Readonly<Record<string, TransportError["kind"]>> = {
  ECONNREFUSED: "Refused",
  ENOTFOUND: "NotFound",
  ENODATA: "NotFound",
  EAI_AGAIN: "NotFound",
  EAI_FAIL: "NotFound",
  EAI_NODATA: "NotFound",
  EAI_NONAME: "NotFound",
  EMFILE: "Exhausted",
  ENFILE: "Exhausted",
  ENOBUFS: "Exhausted",
  ENOMEM: "Exhausted",
  EADDRINUSE: "InUse",
  EACCES: "Denied",
  EPERM: "Denied",
  ECONNRESET: "Reset",
  ECONNABORTED: "Reset",
  EPIPE: "Reset"
}

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : "UNKNOWN"

/** Why a stream could not be opened. Codes that are not listed are failures of the way there: `Unreachable`. */
export const whileOpening = (cause: unknown): TransportError => {
  const detail = codeOf(cause)
  return new TransportError({ kind: kindOfCode[detail] ?? "Unreachable", detail })
}

/** Why an open stream broke: always `Reset`, also for a time-out of the operating system. */
export const whileOpen = (cause: unknown): TransportError =>
  new TransportError({ kind: "Reset", detail: codeOf(cause) })
