/**
 * The shape of the command line: which commands there are, their flags and their help. What a command does is in the module of its
 * name, which is loaded when it runs: `--help` and `--version` need no cryptography and no sockets.
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import {
  allow,
  hostPort,
  identity,
  json,
  once,
  parsed,
  parsePeer,
  paths,
  relays,
  ticket,
  wholeNumber
} from "./flags.ts"
import { maxSize, minSize } from "./testPayload.ts"

const load = <A>(module: () => Promise<A>): Effect.Effect<A> => Effect.promise(module)

const keygen = Command.make(
  "keygen",
  {
    out: Flag.String("out").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Where to write it; never overwrites"),
      Flag.withDefault("causeway-identity.json")
    ),
    json
  },
  (input) => Effect.flatMap(load(() => import("./keygen.ts")), ({ run }) => run(input))
).pipe(
  Command.withDescription("Make an identity file and print its public keys"),
  Command.withExamples([{ command: "causeway keygen --out me.json" }])
)

const ticketCommand = Command.make(
  "ticket",
  { identity, relays, json },
  (input) => Effect.flatMap(load(() => import("./ticket.ts")), ({ run }) => run(input))
).pipe(
  Command.withDescription("Print the ticket by which others reach this identity; on a terminal also as a QR code"),
  Command.withExamples([{ command: "causeway ticket --identity me.json --relay 203.0.113.7:33445:KEY" }])
)

const relay = Command.make(
  "relay",
  {
    host: Flag.String("host").pipe(
      Flag.withMetavar("HOST"),
      Flag.withDescription("Address to listen on"),
      Flag.withDefault("0.0.0.0")
    ),
    port: wholeNumber("port", "PORT", 0, 65_535).pipe(
      Flag.withDescription("TCP port; 0 takes a free one"),
      Flag.withDefault(33_445)
    ),
    identity: Flag.optional(identity),
    json
  },
  (input) => Effect.flatMap(load(() => import("./relay.ts")), ({ run }) => run(input))
).pipe(
  Command.withDescription("Run a relay until it is stopped"),
  Command.withExamples([
    { command: "causeway relay --identity relay.json" },
    { command: "causeway relay --host 127.0.0.1 --port 0", description: "For a trial: a free port and a fresh key" }
  ])
)

const listen = Command.make(
  "listen",
  {
    identity,
    relays,
    allow,
    paths,
    forward: hostPort("forward", 1).pipe(
      Flag.withDescription("Lead every peer's connections to this TCP service, instead of piping"),
      Flag.optional
    ),
    once,
    json
  },
  ({ forward, ...input }) =>
    Option.isSome(forward)
      ? Effect.flatMap(load(() => import("./listenForward.ts")), ({ run }) => run({ ...input, forward: forward.value }))
      : Effect.flatMap(load(() => import("./listen.ts")), ({ run }) => run(input))
).pipe(
  Command.withDescription(
    "Print a ticket and pipe stdin and stdout to one peer at a time, or lead all peers to a TCP service"
  ),
  Command.withExamples([
    { command: "causeway listen --identity me.json --relay 203.0.113.7:33445:KEY --once > received.tar" },
    { command: "causeway listen --identity me.json --relay 203.0.113.7:33445:KEY --forward 127.0.0.1:22" }
  ])
)

const connect = Command.make(
  "connect",
  { ticket, identity: Flag.optional(identity), paths, json },
  (input) => Effect.flatMap(load(() => import("./connect.ts")), ({ run }) => run(input))
).pipe(
  Command.withDescription("Pipe stdin and stdout to the peer of a ticket"),
  Command.withExamples([{ command: "causeway connect causeway:AVbq... < archive.tar" }])
)

const ping = Command.make(
  "ping",
  {
    ticket,
    identity: Flag.optional(identity),
    paths,
    count: wholeNumber("count", "N", 1, 1_000_000).pipe(
      Flag.withDescription("Round trips over the link in use"),
      Flag.withDefault(5)
    ),
    size: wholeNumber("size", "BYTES", 1, 1_000_000).pipe(
      Flag.withDescription("Bytes that go there and back"),
      Flag.withDefault(64)
    ),
    json
  },
  (input) => Effect.flatMap(load(() => import("./ping.ts")), ({ run }) => run(input))
).pipe(
  Command.withDescription("Measure round trips to the peer of a ticket, over the link in use and through each relay"),
  Command.withExamples([{ command: "causeway ping causeway:AVbq... --count 20" }])
)

const forward = Command.make(
  "forward",
  {
    ticket,
    listen: hostPort("listen", 0).pipe(Flag.withDescription("Where to listen; port 0 takes a free one")),
    identity: Flag.optional(identity),
    paths,
    json
  },
  (input) => Effect.flatMap(load(() => import("./forward.ts")), ({ run }) => run(input))
).pipe(
  Command.withDescription("Open a local TCP port that leads to the service of the peer's listen --forward"),
  Command.withExamples([{ command: "causeway forward causeway:AVbq... --listen 127.0.0.1:2222" }])
)

const send = Command.make(
  "send",
  {
    ticket,
    files: Argument.String("FILE").pipe(
      Argument.withDescription("A file to send"),
      Argument.atLeast(1)
    ),
    identity: Flag.optional(identity),
    paths,
    json
  },
  (input) => Effect.flatMap(load(() => import("./send.ts")), ({ run }) => run(input))
).pipe(
  Command.withDescription("Send files to the peer's receive; after an interruption the same command goes on"),
  Command.withExamples([{ command: "causeway send causeway:AVbq... report.pdf photos.tar" }])
)

const receive = Command.make(
  "receive",
  {
    identity,
    relays,
    allow,
    paths,
    dir: Flag.String("dir").pipe(
      Flag.withMetavar("DIR"),
      Flag.withDescription("The folder in which files are stored"),
      Flag.withDefault(".")
    ),
    once: Flag.Boolean("once").pipe(
      Flag.withDescription("End when a peer has gone whose files have all arrived"),
      Flag.withDefault(false)
    ),
    json
  },
  (input) => Effect.flatMap(load(() => import("./receive.ts")), ({ run }) => run(input))
).pipe(
  Command.withDescription("Print a ticket and store the files that peers send"),
  Command.withExamples([
    { command: "causeway receive --identity me.json --relay 203.0.113.7:33445:KEY --dir inbox" }
  ])
)

const packets = Command.make(
  "packets",
  {
    mode: Flag.Literals("mode", ["flood", "sink", "echo", "ping"]).pipe(
      Flag.withDescription("What to do with the connection")
    ),
    identity,
    relays,
    peer: parsed("peer", "IDENTITYKEY:DHTKEY", parsePeer).pipe(
      Flag.withDescription("The peer to call; without it peers are accepted"),
      Flag.optional
    ),
    count: wholeNumber("count", "N", 1, 0xffffffff).pipe(
      Flag.withDescription("Packets to send"),
      Flag.withDefault(1_000)
    ),
    size: wholeNumber("size", "BYTES", minSize, maxSize).pipe(
      Flag.withDescription("Bytes of a packet, its id included"),
      Flag.withDefault(maxSize)
    ),
    lossy: Flag.Boolean("lossy").pipe(
      Flag.withDescription("Lossy packets (id 200) instead of lossless ones (id 160)"),
      Flag.withDefault(false)
    ),
    once,
    json
  },
  (input) => Effect.flatMap(load(() => import("./packets.ts")), ({ run }) => run(input))
).pipe(
  Command.withDescription("Exchange raw net_crypto packets with any Tox net_crypto peer, counted, timed and verified"),
  Command.withExamples([
    { command: "causeway packets --mode sink --identity me.json --relay 203.0.113.7:33445:KEY" }
  ])
)

const demo = Command.make(
  "demo",
  {
    size: wholeNumber("size", "BYTES", 1, 100_000_000_000).pipe(
      Flag.withDescription("How much to transfer"),
      Flag.withDefault(400_000_000)
    ),
    json
  },
  (input) => Effect.flatMap(load(() => import("./demo.ts")), ({ run }) => run(input))
).pipe(
  Command.withDescription("Three relays, two nodes, a transfer, and the relay that carries it killed in the middle"),
  Command.withExamples([{ command: "causeway demo" }])
)

/** The whole command line. */
export const root = Command.make("causeway").pipe(
  Command.withDescription("Connects two programs by public key over several encrypted relays at once"),
  Command.withSubcommands([keygen, ticketCommand, relay, listen, connect, forward, send, receive, ping, packets, demo])
)
