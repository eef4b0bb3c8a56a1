/** Where a multiplexer puts the bytes of one stream of a link. Type only. */
export interface LinkOutput {
  /** Appends to the outgoing stream, copying. Nothing is sent before `send`. */
  readonly push: (bytes: Uint8Array) => void
  /** Ends a batch: the last bytes go although they do not fill a packet. */
  readonly flush: () => void
  /** Sends what is packed. False: the link takes no more for now, and says when it does. */
  readonly send: () => boolean
  /** How many times as long as on other links a frame of bytes may be; 1 when it is left out. */
  readonly frameScale?: number
  /** Stops (true) or resumes (false) the delivery of the peer's bytes. */
  readonly hold: (held: boolean) => void
}
