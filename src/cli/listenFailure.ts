/** What the operating system's refusal to listen means for whoever asked for it. */
import { formatHostPort } from "../schema/RelayAddress.ts"
import type { TransportError } from "../services/RelayTransport.ts"
import { CommandFailed } from "./failure.ts"

/** `flags` are those that name the host and the port. */
export const listenFailure = (
  address: { readonly host: string; readonly port: number },
  flags: { readonly host: string; readonly port: string },
  error: TransportError
): CommandFailed => {
  const at = formatHostPort(address)
  switch (error.kind) {
    case "InUse":
      return new CommandFailed({ detail: `${at} is in use already (${error.detail}); choose another ${flags.port}` })
    case "Denied":
      return new CommandFailed({
        detail: `not allowed to listen on ${at} (${error.detail}); choose a ${flags.port} above 1023`
      })
    default:
      return new CommandFailed({ detail: `cannot listen on ${at} (${error.detail}); check ${flags.host}` })
  }
}
