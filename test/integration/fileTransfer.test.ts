/** Files over sessions in memory, stored on the real file system. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { createHash, randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { CommandFailed } from "../../src/cli/failure.ts"
import * as Messages from "../../src/cli/fileMessages.ts"
import { partName } from "../../src/cli/fileName.ts"
import type { FileTransferError } from "../../src/cli/FileTransferError.ts"
import * as PartClaims from "../../src/cli/partClaims.ts"
import { receiveFile } from "../../src/cli/receiveFile.ts"
import * as SendFile from "../../src/cli/sendFile.ts"
import { FileAnswer, FileHave, FileOffer, FileStart } from "../../src/schema/FileMessage.ts"
import type { SessionError } from "../../src/services/SessionError.ts"
import { openSession } from "../utils/sessionPair.ts"
import { until } from "../utils/tcpEnds.ts"

const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(bytes).digest())

/** Two folders, and both ends of a transfer between them. */
const setUp = Effect.gen(function*() {
  const root = yield* Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(join(tmpdir(), "causeway-files-"))),
    (root) => Effect.sync(() => fs.rmSync(root, { recursive: true, force: true }))
  )
  const [here, there] = [join(root, "here"), join(root, "there")]
  fs.mkdirSync(here)
  fs.mkdirSync(there)
  const claims = PartClaims.make()
  const starts: Array<number> = []
  const receive = (session: Messages.FileSession, folder = there) =>
    receiveFile(session, {
      folder,
      claims,
      onIncoming: ({ from }) => Effect.sync(() => void starts.push(from))
    })
  /** `onSending` is run when the file has been hashed and its bytes are about to be read. */
  const send = (name: string, session: Messages.FileSession, onSending: () => void = () => undefined) =>
    Effect.flatMap(
      SendFile.open(join(here, name)),
      (file) =>
        SendFile.sendFile(Effect.succeed(session), file, (progress) => {
          if (progress().stage === "sending") onSending()
        })
    )
  /** One transfer over a session of its own: how it ended at both ends. */
  const transfer = (name: string, options: { readonly whileRunning?: Ends } = {}) =>
    Effect.gen(function*() {
      const ends = yield* openSession({ resumeTimeout: 100 })
      const { a, b } = ends
      const [sent, received] = yield* Effect.all([
        Effect.result(send(name, a.session)),
        Effect.result(receive(b.session)),
        options.whileRunning?.(ends) ?? Effect.void
      ], { concurrency: "unbounded" })
      return { sent, received, bytesOut: a.session.stats().bytesOut }
    }).pipe(Effect.scoped)
  /** A sender of the test's own making, against the real receiver. */
  const against = (sender: (session: Messages.FileSession) => Effect.Effect<unknown, SessionError, Scope.Scope>) =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      const [received, sent] = yield* Effect.all(
        [Effect.result(receive(b.session)), Effect.result(sender(a.session))],
        {
          concurrency: "unbounded"
        }
      )
      return { received, sent }
    }).pipe(Effect.scoped)
  return {
    root,
    here,
    there,
    claims,
    starts,
    receive,
    send,
    transfer,
    against,
    write: (name: string, bytes: Uint8Array | string) => fs.writeFileSync(join(here, name), bytes),
    listing: () => fs.readdirSync(there).toSorted()
  }
})
type Ends = (ends: Effect.Success<ReturnType<typeof openSession>>) => Effect.Effect<void>

/** The reason's tag of a failure, or the session's. */
const reasonOf = (
  result: { readonly _tag: string; readonly failure?: CommandFailed | FileTransferError | SessionError }
): string => {
  if (result.failure === undefined) return result._tag
  return result.failure._tag === "CommandFailed" ? "CommandFailed" : result.failure.reason._tag
}

const offerOf = (name: string, bytes: Uint8Array): FileOffer =>
  FileOffer.make({ version: 1, name, size: bytes.length, sha256: sha256(bytes) })

/** Sends a file by hand, under any name. */
const sendAs = (name: string, bytes: Uint8Array, offer = offerOf(name, bytes)) => (session: Messages.FileSession) =>
  Effect.gen(function*() {
    yield* Messages.send(session, FileOffer, offer)
    yield* Messages.send(session, FileStart, FileStart.make({ from: 0 }))
    yield* session.write(bytes)
    yield* session.end
    yield* session.closed
  })

const raw = (json: unknown) => (session: Messages.FileSession) =>
  Effect.gen(function*() {
    const text = Buffer.from(typeof json === "string" ? json : JSON.stringify(json))
    const length = Buffer.alloc(4)
    length.writeUInt32LE(text.length)
    yield* session.write([length, text])
    yield* session.closed
  })

const test = <A, E>(
  name: string,
  body: (world: Effect.Success<typeof setUp>) => Effect.Effect<A, E, Scope.Scope>
) => it.live(name, () => Effect.scoped(Effect.flatMap(setUp, body)))

describe("a file over a session", () => {
  for (const size of [0, 1, 262_144, 5_000_001]) {
    test(`of ${size} bytes arrives, checked, under its name, and leaves nothing else`, (world) =>
      Effect.gen(function*() {
        const bytes = randomBytes(size)
        world.write("data.bin", bytes)
        const { sent, received } = yield* world.transfer("data.bin")
        const expected = { storedAs: "data.bin", sha256: sha256(bytes), from: 0, already: false }
        assert.deepStrictEqual(sent._tag === "Success" ? sent.success : undefined, expected)
        assert.strictEqual(received._tag, "Success")
        assert.deepStrictEqual(world.listing(), ["data.bin"])
        assert.isTrue(fs.readFileSync(join(world.there, "data.bin")).equals(bytes))
        assert.strictEqual(world.claims.size, 0)
      }))
  }

  test("that is there already is not sent again, under whichever of its names, and another one never replaces it", (world) =>
    Effect.gen(function*() {
      const [one, two] = [randomBytes(300_000), randomBytes(300_000)]
      world.write("a.txt", one)
      yield* world.transfer("a.txt")
      world.write("a.txt", two)
      yield* world.transfer("a.txt")
      assert.deepStrictEqual(world.listing(), ["a (1).txt", "a.txt"])
      assert.isTrue(fs.readFileSync(join(world.there, "a.txt")).equals(one))
      const again = yield* world.transfer("a.txt")
      assert.deepInclude(again.sent, { _tag: "Success" })
      if (again.sent._tag === "Success") {
        assert.deepInclude(again.sent.success, { storedAs: "a (1).txt", already: true, from: 300_000 })
      }
      assert.isBelow(again.bytesOut, 1_000)
      assert.deepStrictEqual(world.listing(), ["a (1).txt", "a.txt"])
    }))

  test("progress counts what the receiver has, from where it began", (world) =>
    Effect.gen(function*() {
      const bytes = randomBytes(3_000_000)
      world.write("data.bin", bytes)
      fs.writeFileSync(join(world.there, partName("data.bin", sha256(bytes))), bytes.subarray(0, 1_000_000))
      const { a, b } = yield* openSession()
      const seen: Array<SendFile.Progress> = []
      let look: () => SendFile.Progress = () => ({ stage: "hashing", from: 0, done: 0 })
      const file = yield* SendFile.open(join(world.here, "data.bin"))
      yield* Effect.all([
        SendFile.sendFile(Effect.succeed(a.session), file, (progress) => {
          look = progress
          seen.push(progress())
        }),
        world.receive(b.session)
      ], { concurrency: 2 })
      assert.deepStrictEqual(seen, [
        { stage: "hashing", from: 0, done: 0 },
        { stage: "sending", from: 1_000_000, done: 1_000_000 }
      ])
      assert.deepStrictEqual(look(), { stage: "sending", from: 1_000_000, done: 3_000_000 })
    }))
})

describe("an interrupted transfer", () => {
  test("goes on where it was, after the link was lost in the middle", (world) =>
    Effect.gen(function*() {
      const bytes = randomBytes(20_000_000)
      world.write("data.bin", bytes)
      const part = join(world.there, partName("data.bin", sha256(bytes)))
      const cut = yield* world.transfer("data.bin", {
        whileRunning: ({ b, network }) =>
          Effect.gen(function*() {
            while (b.session.stats().bytesIn < 8_000_000) yield* Effect.sleep("1 millis")
            network.lose()
          })
      })
      assert.deepStrictEqual([reasonOf(cut.sent), reasonOf(cut.received)], ["LinkLost", "LinkLost"])
      const kept = fs.statSync(part).size
      assert.isAbove(kept, 4_000_000)
      assert.deepStrictEqual(world.listing(), [partName("data.bin", sha256(bytes))])
      const { sent, bytesOut } = yield* world.transfer("data.bin")
      assert.strictEqual(sent._tag, "Success")
      assert.strictEqual(world.starts.at(-1), kept)
      assert.isBelow(bytesOut, bytes.length - kept + 1_000)
      assert.deepStrictEqual(world.listing(), ["data.bin"])
      assert.isTrue(fs.readFileSync(join(world.there, "data.bin")).equals(bytes))
    }))

  test("whose session still waits for its sender makes room for the next one", (world) =>
    Effect.gen(function*() {
      const bytes = randomBytes(20_000_000)
      world.write("data.bin", bytes)
      const { a, b, network } = yield* openSession({ resumeTimeout: 60_000 })
      yield* Effect.forkScoped(world.send("data.bin", a.session))
      const first = yield* Effect.forkScoped(Effect.result(world.receive(b.session)))
      yield* until("it is on its way", () => b.session.stats().bytesIn > 4_000_000)
      network.lose()
      const { sent } = yield* world.transfer("data.bin")
      assert.strictEqual(sent._tag, "Success")
      assert.isAbove(world.starts.at(-1)!, 3_000_000)
      assert.strictEqual(reasonOf(yield* Fiber.join(first)), "FileTakenOver")
      assert.deepStrictEqual(world.listing(), ["data.bin"])
      assert.isTrue(fs.readFileSync(join(world.there, "data.bin")).equals(bytes))
      assert.strictEqual(world.claims.size, 0)
    }))

  const leftovers: ReadonlyArray<readonly [string, (bytes: Buffer) => Uint8Array, from: number]> = [
    ["everything but the name", (bytes) => bytes, 2_000_000],
    ["nothing", () => new Uint8Array(0), 0],
    ["bytes of which one is wrong", (bytes) => {
      const wrong = Buffer.from(bytes.subarray(0, 1_500_000))
      wrong[700_000]! ^= 1
      return wrong
    }, 0],
    ["more than the whole file", (bytes) => Buffer.concat([bytes, bytes]), 0]
  ]
  for (const [what, leave, from] of leftovers) {
    test(`that left ${what} ends with the right file, begun at ${from}`, (world) =>
      Effect.gen(function*() {
        const bytes = randomBytes(2_000_000)
        world.write("data.bin", bytes)
        fs.writeFileSync(join(world.there, partName("data.bin", sha256(bytes))), leave(bytes))
        const { sent } = yield* world.transfer("data.bin")
        assert.strictEqual(sent._tag, "Success")
        assert.deepStrictEqual(world.starts, [from])
        assert.deepStrictEqual(world.listing(), ["data.bin"])
        assert.isTrue(fs.readFileSync(join(world.there, "data.bin")).equals(bytes))
      }))
  }

  test("that died between naming the file and removing the unfinished name changes neither and cleans up", (world) =>
    Effect.gen(function*() {
      const bytes = randomBytes(100_000)
      world.write("data.bin", bytes)
      const part = join(world.there, partName("data.bin", sha256(bytes)))
      fs.writeFileSync(part, bytes)
      fs.linkSync(part, join(world.there, "data.bin"))
      yield* world.transfer("data.bin")
      assert.deepStrictEqual(world.listing(), ["data.bin"])
      // The finished file has been renamed by its owner, and the unfinished name is still a second one of it.
      fs.renameSync(join(world.there, "data.bin"), join(world.there, "mine.bin"))
      fs.linkSync(join(world.there, "mine.bin"), part)
      yield* world.against(sendAs("data.bin", Buffer.alloc(100_000), offerOf("data.bin", bytes)))
      assert.isTrue(fs.readFileSync(join(world.there, "mine.bin")).equals(bytes))
    }))
})

describe("a file that is not what was offered", () => {
  test("is thrown away, and both sides say so", (world) =>
    Effect.gen(function*() {
      const bytes = randomBytes(200_000)
      const offer = FileOffer.make({ version: 1, name: "x", size: bytes.length, sha256: new Uint8Array(32) })
      const { received, sent } = yield* world.against(sendAs("x", bytes, offer))
      assert.strictEqual(reasonOf(received), "FileDamaged")
      assert.match(sent._tag === "Failure" ? sent.failure.message : "", /another SHA-256/)
      assert.deepStrictEqual(world.listing(), [])
    }))

  test("because somebody wrote to it meanwhile is FileChanged for the sender", (world) =>
    Effect.gen(function*() {
      world.write("log.txt", randomBytes(4_000_000))
      const { a, b } = yield* openSession()
      const [sent, received] = yield* Effect.all([
        Effect.result(world.send("log.txt", a.session, () => fs.appendFileSync(join(world.here, "log.txt"), "more"))),
        Effect.result(world.receive(b.session))
      ], { concurrency: 2 })
      // What was there at the beginning has not changed: the transfer as such is fine.
      assert.deepStrictEqual([reasonOf(sent), reasonOf(received)], ["Success", "Success"])
      world.write("log.txt", randomBytes(4_000_000))
      const second = yield* openSession()
      const [changed] = yield* Effect.all([
        Effect.result(world.send("log.txt", second.a.session, () => world.write("log.txt", randomBytes(4_000_000)))),
        Effect.result(world.receive(second.b.session))
      ], { concurrency: 2 })
      assert.strictEqual(reasonOf(changed), "FileChanged")
      const third = yield* openSession()
      const [shorter, incomplete] = yield* Effect.all([
        Effect.result(world.send("log.txt", third.a.session, () => world.write("log.txt", randomBytes(100)))),
        Effect.result(world.receive(third.b.session))
      ], { concurrency: 2 })
      assert.strictEqual(reasonOf(shorter), "FileChanged")
      assert.include(["PeerGaveUp", "FileDamaged"], reasonOf(incomplete))
      assert.deepStrictEqual(world.listing().filter((name) => !name.endsWith(".part")), ["log.txt"])
    }))

  test("or ends early is FileIncomplete and keeps what came; more than was offered is refused", (world) =>
    Effect.gen(function*() {
      const bytes = randomBytes(100_000)
      const early = yield* world.against(sendAs("x", bytes.subarray(0, 40_000), offerOf("x", bytes)))
      assert.strictEqual(reasonOf(early.received), "FileIncomplete")
      assert.strictEqual(fs.statSync(join(world.there, partName("x", sha256(bytes)))).size, 40_000)
      const late = yield* world.against(sendAs("x", Buffer.concat([bytes, bytes]), offerOf("x", bytes)))
      assert.strictEqual(reasonOf(late.received), "TransferViolation")
      assert.isAtMost(fs.statSync(join(world.there, partName("x", sha256(bytes)))).size, 100_000)
    }))
})

describe("a hostile sender", () => {
  for (const name of ["../../outside", "/etc/passwd", "..", "", ".ssh", "a/../../b", "..\\up", "x\u0000.txt"]) {
    test(`cannot leave the folder with the name ${JSON.stringify(name)}`, (world) =>
      Effect.gen(function*() {
        const before = fs.readdirSync(world.root).toSorted()
        const { received } = yield* world.against(sendAs(name, Buffer.from("mine")))
        assert.strictEqual(received._tag, "Success")
        assert.deepStrictEqual(fs.readdirSync(world.root).toSorted(), before)
        assert.lengthOf(world.listing(), 1)
        assert.notMatch(world.listing()[0]!, /^\./)
      }))
  }

  test("does not write through links, and replaces nothing", (world) =>
    Effect.gen(function*() {
      const victim = join(world.root, "victim")
      fs.writeFileSync(victim, "precious")
      const bytes = Buffer.from("attack")
      fs.symlinkSync(victim, join(world.there, "x"))
      fs.symlinkSync(join(world.root, "new"), join(world.there, "x (1)"))
      fs.symlinkSync(victim, join(world.there, partName("x", sha256(bytes))))
      fs.mkdirSync(join(world.there, "x (2)"))
      const { received } = yield* world.against(sendAs("x", bytes))
      assert.strictEqual(received._tag === "Success" ? received.success.name : "", "x (3)")
      assert.strictEqual(fs.readFileSync(victim, "utf8"), "precious")
      assert.isFalse(fs.existsSync(join(world.root, "new")))
    }))

  const goodOffer = JSON.stringify({ _tag: "FileOffer", version: 1, name: "x", size: 1, sha256: "00".repeat(32) })
  const nonsense: ReadonlyArray<readonly [string, unknown]> = [
    ["no JSON", "hello"],
    ["another message", { _tag: "FileStart", from: 0 }],
    ["a later version", { ...{ _tag: "FileOffer", name: "x", size: 1, sha256: "00".repeat(32) }, version: 2 }],
    ["a negative size", { _tag: "FileOffer", version: 1, name: "x", size: -1, sha256: "00".repeat(32) }],
    ["half a byte", { _tag: "FileOffer", version: 1, name: "x", size: 0.5, sha256: "00".repeat(32) }],
    ["a short hash", { _tag: "FileOffer", version: 1, name: "x", size: 1, sha256: "00" }],
    ["a name that is too long", {
      _tag: "FileOffer",
      version: 1,
      name: "x".repeat(513),
      size: 1,
      sha256: "00".repeat(32)
    }],
    ["a message that is too long", "x".repeat(4_097)],
    ["too long a message that would be understood", goodOffer.padEnd(4_097)]
  ]
  for (const [what, json] of nonsense) {
    test(`that sends ${what} is told so, and nothing is stored`, (world) =>
      Effect.gen(function*() {
        const { received, sent } = yield* world.against(raw(json))
        assert.strictEqual(reasonOf(received), "TransferViolation")
        assert.strictEqual(reasonOf(sent), "SessionReset")
        assert.deepStrictEqual(world.listing(), [])
      }))
  }

  test("that begins where nothing is, or ends in the middle of a message, stores nothing", (world) =>
    Effect.gen(function*() {
      const bytes = randomBytes(100)
      const { received } = yield* world.against((session) =>
        Effect.gen(function*() {
          yield* Messages.send(session, FileOffer, offerOf("x", bytes))
          yield* Messages.send(session, FileStart, FileStart.make({ from: 50 }))
          yield* session.closed
        })
      )
      assert.strictEqual(reasonOf(received), "TransferViolation")
      const half = yield* world.against((session) =>
        Effect.andThen(session.write(Uint8Array.of(9, 0, 0, 0, 1)), Effect.andThen(session.end, session.closed))
      )
      assert.strictEqual(reasonOf(half.received), "TransferViolation")
      assert.deepStrictEqual(world.listing().filter((name) => !name.endsWith(".part")), [])
    }))
})

describe("a receiver that cannot", () => {
  test("store it says why: no such folder, no room, being received already", (world) =>
    Effect.gen(function*() {
      world.write("x", "content")
      const { a, b } = yield* openSession()
      const [sent, received] = yield* Effect.all([
        Effect.result(world.send("x", a.session)),
        Effect.result(world.receive(b.session, join(world.there, "missing")))
      ], { concurrency: 2 })
      assert.strictEqual(reasonOf(received), "FileUnwritable")
      assert.strictEqual(reasonOf(sent), "PeerGaveUp")
      assert.match(sent._tag === "Failure" ? sent.failure.message : "", /cannot be stored \(ENOENT\)/)

      const huge = FileOffer.make({ version: 1, name: "huge", size: 2 ** 52, sha256: new Uint8Array(32) })
      const noRoom = yield* world.against(sendAs("huge", new Uint8Array(0), huge))
      assert.match(noRoom.sent._tag === "Failure" ? noRoom.sent.failure.message : "", /more than there is room for/)

      let bytes = 0
      yield* PartClaims.claim(world.claims, partName("x", sha256(Buffer.from("content"))), () => ++bytes)
      const twice = yield* world.transfer("x")
      assert.deepStrictEqual([reasonOf(twice.sent), reasonOf(twice.received)], ["PeerGaveUp", "FileInTransfer"])
    }))

  test("tell the truth does not fool the sender", (world) =>
    Effect.gen(function*() {
      world.write("x", randomBytes(1_000))
      const answers: ReadonlyArray<readonly [typeof FileAnswer.Type, string]> = [
        [{ _tag: "FileStored", name: "x", already: false }, "TransferViolation"],
        [FileHave.make({ bytes: 2_000, sha256: new Uint8Array(32) }), "TransferViolation"]
      ]
      for (const [answer, expected] of answers) {
        const { a, b } = yield* openSession()
        const [sent] = yield* Effect.all([
          Effect.result(world.send("x", a.session)),
          Effect.ignore(Effect.gen(function*() {
            const reader = Messages.reader(b.session)
            yield* reader.next(FileOffer)
            yield* Messages.send(b.session, FileAnswer as Schema.Codec<typeof FileAnswer.Type, unknown>, answer)
            if (answer._tag === "FileStored") return yield* b.session.closed
            assert.strictEqual((yield* reader.next(FileStart)).from, 0)
            yield* Messages.send(b.session, FileAnswer as Schema.Codec<typeof FileAnswer.Type, unknown>, answer)
            yield* b.session.closed
          }))
        ], { concurrency: 2 })
        assert.strictEqual(reasonOf(sent), expected)
      }
    }))
})

describe("what is no regular file", () => {
  test("is refused before anything is sent", (world) =>
    Effect.gen(function*() {
      const missing = yield* Effect.flip(SendFile.open(join(world.here, "missing")))
      assert.match(missing.message, /missing cannot be read \(ENOENT\)/)
      const folder = yield* Effect.flip(SendFile.open(world.here))
      assert.match(folder.message, /not a regular file/)
    }))
})
