/** What `send` and `receive` do with several files and peers, and what they print; peers and their sessions in memory. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createHash, randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { receiveAll } from "../../src/cli/receive.ts"
import { sendAll } from "../../src/cli/send.ts"
import * as Fake from "../utils/fakePeers.ts"
import { until } from "../utils/tcpEnds.ts"

const setUp = Effect.gen(function*() {
  const root = yield* Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(join(tmpdir(), "causeway-send-"))),
    (root) => Effect.sync(() => fs.rmSync(root, { recursive: true, force: true }))
  )
  const folder = join(root, "there")
  fs.mkdirSync(folder)
  const world = yield* Fake.world
  const [near, far] = [Fake.recorder(), Fake.recorder()]
  let complete = 0
  const receiving = receiveAll(far.output, folder, Effect.sync(() => void complete++))
  yield* Effect.forkScoped(Effect.provide(receiving, world.layer))
  const names = (events: ReadonlyArray<{ readonly event: string }>) => events.map(({ event }) => event)
  return {
    folder,
    meet: world.meet,
    near: near.events,
    far: far.events,
    nearNames: () => names(near.events),
    farNames: () => names(far.events),
    complete: () => complete,
    send: (relation: Fake.Relation, files: ReadonlyArray<string>) => sendAll(near.output, relation.near, files),
    write: (name: string, bytes: Uint8Array) => {
      fs.writeFileSync(join(root, name), bytes)
      return join(root, name)
    },
    path: (name: string) => join(root, name)
  }
})

const test = (
  name: string,
  body: (world: Effect.Success<typeof setUp>) => Effect.Effect<void, unknown, Scope.Scope>
) => it.live(name, () => Effect.scoped(Effect.flatMap(setUp, body)))

describe("send and receive", () => {
  test("move several files, and tell both sides what became of each", (world) =>
    Effect.gen(function*() {
      const [one, two] = [randomBytes(500_000), randomBytes(10)]
      const relation = yield* world.meet
      yield* world.send(relation, [world.write("one", one), world.write("two", two)])
      yield* relation.end
      yield* until("the receiver is done", () => world.complete() === 1)
      assert.isTrue(fs.readFileSync(join(world.folder, "one")).equals(one))
      const sha256 = createHash("sha256").update(one).digest("hex").toUpperCase()
      const file = { size: 500_000, sha256, already: false }
      assert.deepStrictEqual(world.near.filter(({ event }) => event !== "progress"), [
        { event: "sent", file: world.path("one"), storedAs: "one", from: 0, ...file },
        { ...world.near.find((record) => record["storedAs"] === "two")! },
        { event: "done", files: 2, bytes: 500_010 }
      ])
      assert.deepStrictEqual(
        world.farNames().filter((name) => name !== "progress"),
        ["connected", "receiving", "received", "receiving", "received", "disconnected"]
      )
      const identityKey = "01".repeat(32)
      assert.deepStrictEqual(world.far[1], { event: "receiving", identityKey, name: "one", size: 500_000, from: 0 })
      assert.deepInclude(world.far.find(({ event }) => event === "received"), { identityKey, name: "one", ...file })
    }))

  test("the same command again sends what is missing only", (world) =>
    Effect.gen(function*() {
      const files = [world.write("one", randomBytes(50_000)), world.write("two", randomBytes(60_000))]
      yield* world.send(yield* world.meet, files.slice(0, 1))
      yield* world.send(yield* world.meet, files)
      assert.deepStrictEqual(world.near.at(-1), { event: "done", files: 2, bytes: 60_000 })
      assert.deepStrictEqual(fs.readdirSync(world.folder).toSorted(), ["one", "two"])
    }))

  test("one file that cannot be sent does not keep the others from it, and is named at the end", (world) =>
    Effect.gen(function*() {
      const files = [world.path("gone"), world.write("here", randomBytes(1_000))]
      const error = yield* Effect.flip(world.send(yield* world.meet, files))
      assert.include(error.message, "1 of 2 files were not sent")
      assert.include(error.message, "gone")
      assert.deepStrictEqual(world.nearNames(), ["notSent", "sent"])
      assert.deepStrictEqual(fs.readdirSync(world.folder), ["here"])
    }))

  test("a receiver that ends after one visit does not end after one in which a file failed", (world) =>
    Effect.gen(function*() {
      const bytes = randomBytes(1_000)
      const file = world.write("x", bytes)
      const part = join(world.folder, `x.${createHash("sha256").update(bytes).digest("hex").slice(0, 16)}.part`)
      fs.mkdirSync(part)
      const first = yield* world.meet
      const error = yield* Effect.flip(world.send(first, [file]))
      assert.include(error.message, "cannot be stored")
      yield* first.end
      yield* until("the visit is over", () => world.farNames().includes("disconnected"))
      assert.strictEqual(world.complete(), 0)
      assert.deepInclude(world.far.find(({ event }) => event === "notReceived"), { reason: "FileUnwritable" })
      fs.rmdirSync(part)
      const second = yield* world.meet
      yield* world.send(second, [file])
      yield* second.end
      yield* until("the receiver is done", () => world.complete() === 1)
    }))

  test("a visit without files is no reason to end, and other sessions are refused", (world) =>
    Effect.gen(function*() {
      const relation = yield* world.meet
      const error = yield* Effect.flip(Effect.scoped(relation.near.openBytes("shell")))
      assert.deepInclude(error.reason, {
        _tag: "SessionRefused",
        code: 258,
        detail: "only files are taken here, by causeway send"
      })
      yield* relation.end
      yield* until("the visit is over", () => world.farNames().includes("disconnected"))
      assert.strictEqual(world.complete(), 0)
    }))

  test("peers are served at the same time", (world) =>
    Effect.gen(function*() {
      const files = Array.from({ length: 8 }, (_, at) => world.write(`file ${at}`, randomBytes(300_000)))
      yield* Effect.forEach(files, (file) => Effect.flatMap(world.meet, (relation) => world.send(relation, [file])), {
        concurrency: "unbounded"
      })
      for (const file of files) {
        const name = file.slice(file.lastIndexOf("/") + 1)
        assert.isTrue(fs.readFileSync(join(world.folder, name)).equals(fs.readFileSync(file)))
      }
    }))
})
