/**
 * The flags that several commands share, and how their texts become values. What is malformed is refused here, while parsing, so
 * that it ends as wrong usage before anything is opened.
 */
import * as Argument from "effect/cli/Argument"
import * as CliError from "effect/cli/CliError"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { fromHex, PublicKey } from "../schema/Bytes.ts"
import { parseHostPort, parseRelayAddress } from "../schema/RelayAddress.ts"
import { oneLine } from "./output.ts"

/** A flag whose text `parse` understands; a failure is the message for whoever typed it. */
export const parsed = <A>(
  name: string,
  metavar: string,
  parse: (text: string) => Result.Result<A, string>
): Flag.Flag<A> =>
  Flag.String(name).pipe(
    Flag.mapEffect((text) =>
      Result.match(parse(text), {
        onSuccess: (value) => Effect.succeed(value),
        onFailure: (expected) =>
          Effect.fail(
            new CliError.InvalidValue({ option: name, value: oneLine(text), expected: oneLine(expected), kind: "flag" })
          )
      })
    ),
    Flag.withMetavar(metavar)
  )

/** A whole number between two bounds, both included. */
export const wholeNumber = (name: string, metavar: string, minimum: number, maximum: number): Flag.Flag<number> =>
  parsed(name, metavar, (text) => {
    const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : -1
    return value >= minimum && value <= maximum
      ? Result.succeed(value)
      : Result.fail(`a whole number from ${minimum} to ${maximum}`)
  })

/** A public key of 64 hexadecimal digits. */
export const parseKey = (text: string): Result.Result<PublicKey, string> => {
  const bytes = fromHex(text)
  return bytes?.length === 32
    ? Result.succeed(PublicKey.make(bytes))
    : Result.fail("a public key, 64 hexadecimal digits")
}

/** The two keys of a peer, `IDENTITYKEY:DHTKEY`, as the command prints them in its `ready` line. */
export const parsePeer = (
  text: string
): Result.Result<{ readonly identityKey: PublicKey; readonly dhtKey: PublicKey }, string> => {
  const [identity = "", dht = "", ...more] = text.split(":")
  const identityKey = parseKey(identity)
  const dhtKey = parseKey(dht)
  return Result.isSuccess(identityKey) && Result.isSuccess(dhtKey) && more.length === 0
    ? Result.succeed({ identityKey: identityKey.success, dhtKey: dhtKey.success })
    : Result.fail("IDENTITYKEY:DHTKEY, two public keys of 64 hexadecimal digits")
}

export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print one JSON object a line"),
  Flag.withDefault(false)
)

export const once = Flag.Boolean("once").pipe(
  Flag.withDescription("End after the first peer"),
  Flag.withDefault(false)
)

export const identity = Flag.String("identity").pipe(
  Flag.withMetavar("FILE"),
  Flag.withDescription("Identity file, as made by keygen")
)

/** At least one relay. */
export const relays = parsed("relay", "HOST:PORT:KEY", parseRelayAddress).pipe(
  Flag.withDescription("A relay; give the flag once for each"),
  Flag.atLeast(1)
)

/** A TCP address; `lowestPort` is 0 where that asks for a free port. */
export const hostPort = (name: string, lowestPort: 0 | 1) =>
  parsed(name, "HOST:PORT", (text) => parseHostPort(text, lowestPort))

const policy = Flag.Literals("policy", ["auto", "relayed", "direct"]).pipe(
  Flag.withDescription(
    "Which way sessions go: direct when that is possible (auto, the default), over relays only, direct only"
  ),
  Flag.optional
)

/** Which way sessions may go. */
export const paths = {
  direct: hostPort("direct", 0).pipe(
    Flag.withDescription("Listen for direct links here; port 0 takes a free one"),
    Flag.optional
  ),
  policy
}

/** The peers that may call. */
export const allow = parsed("allow", "KEY", parseKey).pipe(
  Flag.withDescription("Identity key of a peer that may connect; give it once for each; without it anybody may"),
  Flag.atLeast(0)
)

/** The text of a ticket. What is in it is read by the command, because its checksum needs the cryptography. */
export const ticket = Argument.String("TICKET").pipe(
  Argument.withDescription("The ticket that the peer's listen, receive or ticket command printed")
)
