/**
 * The codes that the command's own sessions are refused and reset with. Those below 256 belong to the session protocol
 * (`protocol/session/sessionFault.ts`). They are for programs; the message beside them is for people.
 */
export const CommandCode = {
  /** The TCP connection on one side broke, so the other one has to. */
  socketBroken: 256,
  /** The TCP service behind the session could not be reached. */
  serviceUnreachable: 257,
  /** Nothing of that name is offered here. */
  unknownName: 258,
  /** A file was not taken, or a file transfer cannot go on. */
  transferFailed: 259
} as const
