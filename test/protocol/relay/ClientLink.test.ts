import * as Redacted from "effect/Redacted"
import { describe, expect, it } from "vitest"
import type { Cipher } from "../../../src/protocol/crypto/Crypto.ts"
import { ClientLink } from "../../../src/protocol/relay/ClientLink.ts"
import { FrameSealer } from "../../../src/protocol/relay/FrameSealer.ts"
import { RelayFrames } from "../../../src/protocol/relay/RelayFrames.ts"
import type { RelayLinkEvents } from "../../../src/protocol/relay/RelayLink.ts"
import type { PublicKey } from "../../../src/schema/Bytes.ts"
import * as EntropySeeded from "../../../src/testing/EntropySeeded.ts"
import { hex, plainCrypto, unhex } from "../../utils/plainCrypto.ts"

const key = (n: number) => new Uint8Array(32).fill(n) as PublicKey
const relay = { host: "relay.test", port: 443, publicKey: key(1) }
const ours = key(0xee)
const numbers = {
  markWindow: 128 * 1024,
  markInterval: 8 * 1024,
  causewayMarkWindow: 4 * 1024 * 1024,
  pingInterval: 30_000,
  pingTimeout: 10_000,
  stuckTimeout: 1_000
}
const bytes = (...parts: Array<number | Uint8Array>) =>
  Uint8Array.from(parts.flatMap((part) => typeof part === "number" ? [part] : [...part]))

/** A link over a socket made of arrays, with the relay's side of the cipher in the test's hands. */
const make = (change: (events: RelayLinkEvents) => Partial<RelayLinkEvents> = () => ({})) => {
  const cipher = (): Cipher => plainCrypto.secretBox(Redacted.make(new Uint8Array(32).fill(5)))
  const toRelay = new Uint8Array(24).fill(1)
  const toClient = new Uint8Array(24).fill(2)
  const relayCipher = cipher()
  const sealer = new FrameSealer(relayCipher, toClient)
  const frames = new RelayFrames(relayCipher, toRelay)
  const linkCipher = cipher()
  const log: Array<string> = []
  const writes: Array<Uint8Array> = []
  const world = { accepts: true, now: 0, tasks: [] as Array<() => void> }
  const base: RelayLinkEvents = {
    onConfirmed: () => log.push("confirmed"),
    onRouteResponse: (_, id, peer) => log.push(`response ${id} ${peer[0]}`),
    onPeerOnline: (_, id) => log.push(`online ${id}`),
    onPeerOffline: (_, id) => log.push(`offline ${id}`),
    onData: (_, id, data) => log.push(`data ${id} ${hex(data)}`),
    onOob: (_, sender, data) => log.push(`oob ${sender[0]} ${hex(data)}`),
    onOnion: (_, data) => log.push(`onion ${hex(data)}`),
    onForwarded: (_, data) => log.push(`forwarded ${hex(data)}`),
    onWritable: () => log.push("writable"),
    onBatchEnd: () => log.push("batch end"),
    onLost: () => log.push("lost")
  }
  const link = new ClientLink(relay, ours, { cipher: linkCipher, send: toRelay, receive: toClient }, numbers, {
    write: (batch) => {
      writes.push(batch)
      return world.accepts
    },
    now: () => world.now,
    defer: (task) => world.tasks.push(task),
    fill: EntropySeeded.make(1).fill,
    onConfirmed: () => log.push("state")
  }, { ...base, ...change(base) })
  /** Packets the relay has received since the last call, and the batches they came in. */
  const received = () => {
    const packets: Array<Uint8Array> = []
    for (const batch of writes.splice(0)) {
      expect(frames.push(batch, (plain) => void packets.push(plain.slice()))).toBeUndefined()
    }
    return packets
  }
  const runTasks = () => {
    for (const task of world.tasks.splice(0)) task()
  }
  /** Lets the relay send packets in one chunk. */
  const receive = (...packets: ReadonlyArray<Uint8Array>) => {
    for (const packet of packets) sealer.append(packet, packet.length)
    const violation = link.receive(sealer.take() ?? new Uint8Array(0))
    if (violation === undefined) link.endBatch()
    return violation
  }
  /** Answers the pings among these packets. */
  const pongs = (packets: ReadonlyArray<Uint8Array>) =>
    packets.filter((packet) => packet[0] === 4).map((ping) => bytes(5, ping.subarray(1)))
  const confirm = () => {
    link.begin()
    receive(...pongs(received()))
    log.length = 0
  }
  /** Makes id 16 online for key 9. */
  const online = () => {
    confirm()
    link.requestRoute(key(9))
    receive(bytes(1, 16, key(9)), bytes(2, 16))
    runTasks()
    receive(...pongs(received()))
    log.length = 0
  }
  const data = new Uint8Array(1401)
  const fill = () => {
    let count = 0
    while (link.sendData(16, data, data.length, false)) count++
    return count
  }
  return { confirm, fill, frames, link, linkCipher, log, online, pongs, receive, received, runTasks, world, writes }
}

describe("ClientLink", () => {
  it("confirms with the pong to its first frame, a ping, and with nothing else", () => {
    const { link, log, pongs, receive, received } = make()
    link.begin()
    const packets = received()
    expect(packets.map((packet) => packet.length)).toEqual([9])
    expect(packets[0]![0]).toBe(4)
    receive(bytes(5, unhex("0000000000000001")))
    receive(bytes(7, key(3), 1), bytes(9, 1), bytes(11, 1))
    expect([link.isConfirmed, log]).toEqual([false, []])
    receive(...pongs(packets))
    expect(link.isConfirmed).toBe(true)
    receive(...pongs(packets))
    expect(log).toEqual(["state", "confirmed", "batch end", "batch end"])
  })

  it("C09: requests routes, follows notifications, carries data, gives ids back", () => {
    const { confirm, link, log, receive, received, runTasks } = make()
    confirm()
    link.requestRoute(key(9))
    link.requestRoute(key(9))
    runTasks()
    expect(received().filter((packet) => packet[0] === 0).map(hex)).toEqual([`00${hex(key(9))}`])
    receive(bytes(1, 16, key(9)))
    const frame = bytes(0, 0xaa, 0xbb)
    expect(link.sendData(16, frame, 3, false)).toBe(false)
    receive(bytes(2, 16), bytes(2, 16))
    expect(link.sendData(16, frame, 3, false)).toBe(true)
    frame.fill(0)
    runTasks()
    expect(received().map(hex)).toContain("10aabb")
    receive(bytes(16, 1, 2), bytes(3, 16), bytes(3, 16))
    expect(link.sendData(16, frame, 3, false)).toBe(false)
    link.disconnect(16)
    link.disconnect(16)
    link.disconnect(17)
    receive(bytes(16, 3), bytes(2, 16), bytes(3, 16))
    runTasks()
    expect(received().filter((packet) => packet[0] === 3).map(hex)).toEqual(["0310"])
    expect(log.filter((line) => line !== "batch end")).toEqual(
      ["response 16 9", "online 16", "data 16 0102", "offline 16"]
    )
  })

  it("C09: sends OOB, onion and forward packets", () => {
    const { confirm, link, received, runTasks } = make()
    confirm()
    expect(link.sendOob(key(3), bytes(1, 2))).toBe(true)
    expect(link.sendOnion(bytes(4, 5))).toBe(true)
    expect(link.sendForward(bytes(1, 2, 3, 4, 5, 6, 7))).toBe(true)
    runTasks()
    expect(received().map(hex).slice(0, 3)).toEqual([`06${hex(key(3))}0102`, "080405", "0a01020304050607"])
  })

  it.each([
    ["data without payload", 1],
    ["data beyond a frame", 2033]
  ])("C10: refuses %s as a bug", (_, length) => {
    const { link, online } = make()
    online()
    expect(() => link.sendData(16, new Uint8Array(4_000), length, false)).toThrow(RangeError)
    expect(link.sendData(16, new Uint8Array(4_000), 2032, false)).toBe(true)
  })

  it.each([0, 1025])("C10: refuses OOB of %i bytes as a bug, before it costs the connection", (length) => {
    const { confirm, link } = make()
    confirm()
    expect(() => link.sendOob(key(3), new Uint8Array(length))).toThrow()
    expect(link.sendOob(key(3), new Uint8Array(1024))).toBe(true)
  })

  it("answers a ping in the same batch, and not one of id 0", () => {
    const { confirm, receive, received, world } = make()
    confirm()
    receive(bytes(4, unhex("a1a2a3a4a5a6a7a8")), bytes(4, new Uint8Array(8)))
    expect(received().map(hex)).toEqual(["05a1a2a3a4a5a6a7a8"])
    expect(world.tasks).toEqual([])
  })

  it("writes once a batch inside a read, and once a microtask outside", () => {
    const { confirm, link, log, online, receive, received, runTasks, world, writes } = make(() => ({
      onData: (link) => void link.sendData(16, bytes(0, 1), 2, false)
    }))
    confirm()
    online()
    receive(bytes(16, 1), bytes(16, 2), bytes(16, 3))
    expect(writes.length).toBe(1)
    expect(world.tasks).toEqual([])
    expect(received().filter((packet) => packet[0] === 16).length).toBe(3)
    link.sendData(16, bytes(0, 1), 2, false)
    link.sendData(16, bytes(0, 2), 2, false)
    expect([writes.length, world.tasks.length]).toEqual([0, 1])
    runTasks()
    expect(writes.length).toBe(1)
    received()
    link.sendData(16, bytes(0, 3), 2, false)
    link.flush()
    expect(writes.length).toBe(1)
    runTasks()
    expect(writes.length).toBe(1)
    expect(log.filter((line) => line === "batch end").length).toBe(1)
  })

  it("writes large bursts in parts while they are made", () => {
    const { fill, online, world, writes } = make()
    online()
    world.tasks.length = 0
    fill()
    expect(writes.length).toBeGreaterThanOrEqual(2)
    for (const batch of writes) expect(batch.length).toBeLessThanOrEqual(64 * 1024)
  })

  it("F1: stops at 128 KiB, tells when there is room again, and marks the end of the burst", () => {
    const { fill, link, log, online, pongs, receive, received, runTasks } = make()
    online()
    const count = fill()
    expect(count * 1419).toBeLessThan(128 * 1024)
    expect(link.sendData(16, new Uint8Array(1401), 1401, false)).toBe(false)
    expect(link.sendData(16, new Uint8Array(1401), 1401, true)).toBe(true)
    runTasks()
    const packets = received()
    const marks = pongs(packets)
    expect(marks.length).toBeGreaterThanOrEqual(8)
    receive(marks[0]!)
    expect(log).toContain("writable")
    expect(link.room()).toBeGreaterThan(0)
    receive(...marks.slice(1))
    for (let last = pongs(received()); last.length > 0; last = pongs(received())) receive(...last)
    expect(link.room()).toBe(128 * 1024 - 27)
  })

  it("F1: a read that brings no room to a full window is answered with a ping, so that its acknowledgement does not wait", () => {
    const { fill, link, online, pongs, receive, received, runTasks } = make()
    online()
    receive(bytes(16, 1))
    expect(received()).toEqual([])
    fill()
    runTasks()
    const burst = received()
    receive(bytes(16, 1))
    expect(received().map((packet) => packet[0])).toEqual([4])
    // However much the relay sends without answering: urgent packets keep half of their overdraw.
    for (let i = 0; i < 5_000; i++) receive(bytes(16, 1))
    const nudges = received()
    expect(nudges.length).toBeGreaterThan(1_000)
    expect(nudges.length * 27).toBeLessThan(34 * 1024)
    receive(...pongs([...burst, ...nudges]))
    expect(link.room()).toBeGreaterThan(100_000)
    receive(bytes(16, 1))
    expect(received()).toEqual([])
  })

  it("a Causeway relay, which holds nothing back, is not pinged for that", () => {
    const { fill, online, receive, received, runTasks } = make()
    online()
    receive(bytes(4, 0x43, 0x57, 0x59, 1, 1, 2, 3, 4))
    received()
    fill()
    runTasks()
    received()
    receive(bytes(16, 1))
    expect(received()).toEqual([])
  })

  it("says nothing about room when nobody had to wait", () => {
    const { link, log, online, pongs, receive, received, runTasks } = make()
    online()
    link.sendData(16, new Uint8Array(1401), 1401, false)
    runTasks()
    receive(...pongs(received()))
    expect(log).toEqual(["batch end"])
  })

  it("bulk waits for a full socket, urgent packets and control do not", () => {
    const { link, log, online, runTasks, world, writes } = make()
    online()
    world.accepts = false
    expect(link.sendData(16, bytes(0, 1), 2, false)).toBe(true)
    runTasks()
    expect(link.sendData(16, bytes(0, 1), 2, false)).toBe(false)
    expect(link.room()).toBe(0)
    expect(link.sendData(16, bytes(0, 1), 2, true)).toBe(true)
    expect(link.sendOob(key(3), bytes(1))).toBe(true)
    expect(link.sendOnion(bytes(1))).toBe(false)
    link.requestRoute(key(4))
    runTasks()
    expect(writes.length).toBe(2)
    world.accepts = true
    link.drained()
    expect(log).toEqual(["writable"])
    expect(link.sendData(16, bytes(0, 1), 2, false)).toBe(true)
  })

  it("knows since when it is stuck", () => {
    const { fill, link, log, online, pongs, receive, received, runTasks, world } = make()
    online()
    world.now = 1_000
    expect(link.stuckSince()).toBeUndefined()
    fill()
    runTasks()
    world.now = 1_250
    expect(link.stuckSince()).toBe(1_000)
    world.now = 1_300
    receive(pongs(received())[0]!)
    expect(log).toContain("writable")
    expect([link.stuckSince(), link.roundTrip()]).toEqual([undefined, 300])
  })

  it("C10: pings after 30 s and is lost 10 s after a ping without pong", () => {
    const { confirm, link, pongs, receive, received, world } = make()
    confirm()
    expect(link.nextCheck).toBe(30_000)
    world.now = 29_999
    expect([link.check(29_999), received().length]).toEqual([false, 0])
    world.now = 30_000
    expect(link.check(30_000)).toBe(false)
    const pings = received()
    expect(pings.map((packet) => packet[0])).toEqual([4])
    // Other traffic and wrong pongs are no answer.
    world.now = 39_000
    receive(bytes(5, unhex("0000000000000001")), bytes(7, key(3), 1))
    expect([link.check(39_999), link.check(40_000)]).toEqual([false, true])
    receive(...pongs(pings))
    expect(link.check(40_000)).toBe(false)
  })

  it("recognises a Causeway relay by its ping, and lets the window grow", () => {
    const { confirm, fill, link, online, pongs, receive, received, runTasks } = make()
    confirm()
    receive(bytes(4, unhex("4357590200000001")))
    expect(link.isCauseway).toBe(false)
    receive(bytes(4, unhex("4357590100000001")))
    expect(link.isCauseway).toBe(true)
    online()
    for (let round = 0; round < 10; round++) {
      fill()
      runTasks()
      receive(...pongs(received()))
    }
    expect(fill() * 1419).toBeGreaterThan(3_900_000)
  })

  it("ends at a violation, hands on nothing after it, and reports the loss once", () => {
    const { link, linkCipher, log, online, receive } = make()
    online()
    expect(receive(bytes(16, 1), bytes(13, 1, 2), bytes(16, 2))).toBe("unknown packet id 13")
    link.end()
    link.end()
    expect(log).toEqual(["data 16 01", "lost"])
    expect(link.receive(bytes(1, 2, 3))).toBeUndefined()
    expect(() => linkCipher.seal(new Uint8Array(17), 0, bytes(1), 0, 1, new Uint8Array(24))).toThrow()
  })

  it("hands out what is owed when it ends, and refuses everything afterwards", () => {
    const { link, log, online, received, runTasks, world } = make()
    online()
    link.disconnect(16)
    link.end()
    expect(received().map(hex)).toEqual(["0310"])
    expect(link.sendData(16, bytes(0, 1), 2, true)).toBe(false)
    expect(link.sendOob(key(3), bytes(1))).toBe(false)
    expect(link.sendOnion(bytes(1))).toBe(false)
    link.requestRoute(key(3))
    link.disconnect(16)
    link.flush()
    link.drained()
    link.endBatch()
    world.now = 100_000
    runTasks()
    expect([received(), link.room(), log]).toEqual([[], 0, ["lost"]])
  })

  it("reports no loss when it was never confirmed", () => {
    const { link, log } = make()
    link.begin()
    link.end()
    expect(log).toEqual([])
  })

  it("may be ended from within a callback", () => {
    const { link, log, online, receive } = make(() => ({
      onData: (inner) => (inner as ClientLink).end()
    }))
    online()
    expect(receive(bytes(16, 1), bytes(16, 2), bytes(7, key(3), 1))).toBeUndefined()
    expect(log).toEqual(["lost"])
    expect(link.room()).toBe(0)
  })
})
