/** Framing, handshakes, deadlines, buckets and outputs of the relay, without sockets (reliability: relay framing, relay handshake). */
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { keyPairFrom, plainCrypto } from "../../utils/plainCrypto.ts"
import { CoreHarness, relayKeys } from "../../utils/relayCoreHarness.ts"
import { isCausewayPing, packets, RelayTestSession } from "../../utils/RelayTestSession.ts"

const pingId = [9, 8, 7, 6, 5, 4, 3, 2] as const
const pong = [5, ...pingId]

describe("relay server, framing", () => {
  it.each([0, 1, 16, 2_049, 65_535])("C10: a frame length of %i closes before any of the body is there", (length) => {
    const harness = new CoreHarness()
    const { a, b, ba } = harness.linked()
    a.sendRaw(Uint8Array.of(length >> 8, length & 0xff))
    assert.isTrue(a.ended)
    assert.deepStrictEqual(harness.core.counters.violations, { "frame length": 1 })
    assert.deepStrictEqual(b.take(), [[3, ba]])
  })

  it("C10: frames of 17 and of 2,048 bytes are taken", () => {
    const harness = new CoreHarness()
    const { a, ab, b } = harness.linked()
    const smallest = a.session.seal(packets.data(ab))
    const largest = a.session.seal(packets.ofSize(ab, 2_032))
    assert.deepStrictEqual([smallest.length, largest.length], [19, 2_050])
    a.sendRaw(smallest)
    a.sendRaw(largest)
    assert.strictEqual(b.take().length, 1)
    assert.isFalse(a.ended)
  })

  it("any flipped bit closes, and reaches nobody", () => {
    fc.assert(
      fc.property(fc.nat(37), fc.integer({ min: 0, max: 7 }), (at, bit) => {
        const harness = new CoreHarness()
        const { a, ab, b, ba } = harness.linked()
        const frame = a.session.seal(packets.ofSize(ab, 20))
        const other = a.session.seal(packets.ofSize(ab, 2_000))
        frame[at]! ^= 1 << bit
        a.sendRaw(frame)
        // A flipped length may ask for more than one frame first.
        if (!a.ended) a.sendRaw(other)
        if (!a.ended) harness.pass(50_000)
        assert.isTrue(a.ended)
        assert.deepStrictEqual(b.take().filter((plain) => plain[0] !== 4), [[3, ba]])
      }),
      { numRuns: 60 }
    )
  })

  it.each(
    [
      ["reordered", (x: Uint8Array, y: Uint8Array) => [y, x]],
      ["doubled", (x: Uint8Array, y: Uint8Array) => [x, x, y]],
      ["dropped", (_: Uint8Array, y: Uint8Array) => [y]]
    ] as const
  )("a %s frame closes", (_, arrange) => {
    const harness = new CoreHarness()
    const { a, ab } = harness.linked()
    for (const frame of arrange(a.session.seal(packets.data(ab, 1)), a.session.seal(packets.data(ab, 2)))) {
      a.sendRaw(frame)
    }
    assert.isTrue(a.ended)
    assert.deepStrictEqual(harness.core.counters.violations, { "a frame that does not authenticate": 1 })
  })

  it("frames split at every byte, and many in one chunk, arrive the same", () => {
    const harness = new CoreHarness()
    const { a, ab, b, ba } = harness.linked()
    const plains = Array.from({ length: 40 }, (_, i) => packets.data(ab, i, i, i))
    const expected = plains.map((plain) => [ba, ...plain.subarray(1)])
    const bytes = a.session.seal(...plains)
    for (let at = 0; at < bytes.length; at++) a.sendRaw(bytes.subarray(at, at + 1))
    assert.deepStrictEqual(b.take(), expected)
    a.send(...plains)
    assert.deepStrictEqual(b.take(), expected)
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 60 }), (cuts) => {
        const bytes = a.session.seal(...plains)
        let at = 0
        for (const cut of cuts) a.sendRaw(bytes.subarray(at, at += cut))
        a.sendRaw(bytes.subarray(at))
        assert.deepStrictEqual(b.take(), expected)
      }),
      { numRuns: 50 }
    )
  })

  it("a frame that comes at 1 byte a second closes after 30 s, however lively the client is before and after", () => {
    const harness = new CoreHarness({ pingInterval: 1_000_000 })
    const client = harness.login()
    const frame = client.session.seal(packets.ofSize(8, 1_000))
    for (let second = 0; second < 29; second++) {
      client.sendRaw(frame.subarray(second, second + 1))
      harness.pass(1_000)
    }
    assert.isFalse(client.ended)
    harness.pass(1_500)
    assert.isTrue(client.ended)
    assert.deepStrictEqual(harness.core.counters.closed, { "frame timeout": 1 })
  })

  it("frames that are each cut once, for ever, are no slow frame", () => {
    const harness = new CoreHarness({ pingInterval: 1_000_000 })
    const client = harness.login()
    let carry: Uint8Array = new Uint8Array(0)
    for (let second = 0; second < 60; second++) {
      const frame = client.session.seal(packets.ping(...pingId))
      client.sendRaw(Uint8Array.from([...carry, ...frame.subarray(0, 10)]))
      carry = frame.subarray(10)
      harness.pass(1_000)
    }
    assert.isFalse(client.ended)
  })
})

describe("relay server, handshake", () => {
  it("128 random bytes, a hello for another relay, a low-order key, a zero key and the relay's own key all close alike", () => {
    const other = keyPairFrom(0x77)
    const lowOrder = new Uint8Array(128).fill(3)
    lowOrder.fill(0, 0, 32)
    lowOrder[0] = 1
    const zero = new Uint8Array(128).fill(3)
    zero.fill(0, 0, 32)
    const own = new Uint8Array(128).fill(3)
    own.set(relayKeys.publicKey)
    const harness = new CoreHarness()
    const elsewhere = new RelayTestSession(plainCrypto, other, keyPairFrom(0x55).publicKey, harness.fill).hello
    for (const hello of [new Uint8Array(128).fill(0xab), elsewhere, lowOrder, zero, own]) {
      const client = harness.connect()
      assert.isFalse(client.greet(hello))
      assert.isTrue(client.ended)
    }
    assert.deepStrictEqual(harness.core.counters.violations, { "a hello that does not open": 5 })
    assert.strictEqual(harness.core.pending, 0)
  })

  it("a replayed hello is answered, never confirmed, leaves the live session untouched, and is closed at 10 s", () => {
    const harness = new CoreHarness()
    const { a, ab, b, ba } = harness.linked()
    const attacker = harness.connect()
    assert.isDefined(harness.core.answer(attacker.connection, a.session.hello))
    harness.core.receive(attacker.client, Uint8Array.of(0, 30), 0)
    harness.pass(9_750)
    assert.isFalse(attacker.ended)
    a.send(packets.data(ab, 1))
    assert.deepStrictEqual(b.take(), [[ba, 1]])
    harness.pass(500)
    assert.isTrue(attacker.ended)
    assert.deepStrictEqual(harness.core.counters.closed, { "confirm timeout": 1 })
    a.send(packets.data(ab, 2))
    assert.deepStrictEqual(b.take(), [[ba, 2]])
    assert.isFalse(a.ended)
  })

  it("a replayed first frame of another session does not confirm", () => {
    const harness = new CoreHarness()
    const victim = harness.connect()
    victim.greet()
    const first = victim.session.seal(packets.ping(...pingId))
    victim.sendRaw(first)
    const attacker = harness.connect(victim.keys)
    harness.core.answer(attacker.connection, victim.session.hello)
    attacker.sendRaw(first)
    assert.isTrue(attacker.ended)
    assert.isFalse(victim.ended)
  })
})

describe("relay server, liveness", () => {
  it("C10: pings after 30 s and closes when no pong has come 10 s later", () => {
    const harness = new CoreHarness()
    const client = harness.login()
    harness.pass(29_750)
    assert.deepStrictEqual(client.take(), [])
    harness.pass(250)
    const [ping] = client.take()
    assert.strictEqual(ping![0], 4)
    assert.isFalse(isCausewayPing(ping))
    harness.pass(9_750)
    client.send(packets.ping(...pingId), packets.route(client.keys.publicKey))
    assert.isFalse(client.ended, "only the pong counts, but not before its time")
    harness.pass(250)
    assert.isTrue(client.ended)
    assert.deepStrictEqual(harness.core.counters.closed, { "ping timeout": 1 })
  })

  it("stays with a client that answers, for an hour, with a fresh id each time", () => {
    const harness = new CoreHarness()
    const client = harness.login()
    const ids = new Set<string>()
    for (let i = 0; i < 120; i++) {
      harness.pass(30_000)
      client.answerPing()
      for (const plain of client.take()) ids.add(plain.join())
    }
    assert.isFalse(client.ended)
    assert.strictEqual(ids.size, 120)
  })

  it("closes a client that does not even answer the first ping", () => {
    const harness = new CoreHarness()
    const client = harness.connect()
    client.greet()
    client.send(packets.ping(...pingId))
    harness.pass(10_000)
    assert.isTrue(client.ended)
  })

  it("times nobody out for time in which its own event loop stood still", () => {
    const harness = new CoreHarness()
    const { a, ab, b } = harness.linked()
    const pending = harness.connect()
    harness.pass(30_000)
    harness.stall(600_000)
    harness.core.tick()
    harness.pass(1_000)
    a.answerPing()
    b.answerPing()
    harness.pass(20_000)
    assert.isFalse(a.ended)
    b.take()
    a.send(packets.data(ab, 1))
    assert.strictEqual(b.take().length, 1)
    assert.isTrue(pending.ended, "time that did pass counts")
  })

  it("does not ping everybody who came at once at once", () => {
    const harness = new CoreHarness()
    const clients = Array.from({ length: 100 }, () => harness.connect())
    for (const client of clients) {
      client.greet()
      client.send(packets.ping(...pingId))
      client.answerPing()
      client.take()
    }
    harness.pass(30_000)
    const pinged = () => clients.filter((client) => client.session.received.length > 0).length
    assert.isAtLeast(pinged(), 60)
    assert.isAtMost(pinged(), 70)
    harness.pass(250)
    assert.strictEqual(pinged(), 100)
  })
})

describe("relay server, output", () => {
  const payload = (id: number, mark: number) => packets.ofSize(id, 1_400).fill(mark, 1)

  it("sends control packets first, then the newest 64 KiB of data, when a blocked client reads again", () => {
    const harness = new CoreHarness()
    const { a, ab, b, ba } = harness.linked()
    b.takes = 0
    a.send(payload(ab, 255))
    assert.strictEqual(b.take().length, 1, "the write that blocks belongs to the socket")
    for (let i = 0; i < 100; i++) a.send(payload(ab, i))
    b.send(packets.ping(...pingId))
    assert.deepStrictEqual(b.take(), [])
    assert.strictEqual(harness.core.counters.droppedPackets, 100 - 46)
    assert.isFalse(a.ended, "the sender is not to blame")
    b.drain()
    const [first, ...rest] = b.take()
    assert.deepStrictEqual(first, pong)
    assert.deepStrictEqual(rest.map((plain) => plain.slice(0, 2)), Array.from({ length: 46 }, (_, i) => [ba, 54 + i]))
    assert.strictEqual(harness.core.counters.forwardedPackets, 47)
  })

  it("a drained client may block again at once, and loses nothing by it", () => {
    const harness = new CoreHarness()
    const { a, ab, b } = harness.linked()
    b.takes = 0
    a.send(payload(ab, 255))
    for (let i = 0; i < 46; i++) a.send(payload(ab, i))
    b.take()
    const marks: Array<number> = []
    for (let i = 0; i < 20; i++) {
      b.drain(0)
      marks.push(...b.take().map((plain) => plain[1]!))
    }
    assert.deepStrictEqual(marks, Array.from({ length: 46 }, (_, i) => i))
    assert.strictEqual(harness.core.counters.droppedPackets, 0)
  })

  it("closes a client whose socket takes nothing for 5 s, and tells its peers once", () => {
    const harness = new CoreHarness()
    const { a, ab, b } = harness.linked()
    b.takes = 0
    a.send(payload(ab, 1))
    harness.pass(4_750)
    assert.isFalse(b.ended)
    harness.pass(250)
    assert.isTrue(b.ended)
    assert.deepStrictEqual(harness.core.counters.closed, { blocked: 1 })
    assert.deepStrictEqual(a.take(), [[3, ab]])
  })

  it("keeps a client whose socket takes a little now and then", () => {
    const harness = new CoreHarness({ pingInterval: 1_000_000 })
    const { a, ab, b } = harness.linked()
    b.takes = 0
    a.send(payload(ab, 1))
    b.pending = 100_000
    for (let i = 0; i < 10; i++) {
      harness.pass(4_000)
      b.pending -= 1_000
    }
    assert.isFalse(b.ended)
    harness.pass(5_500)
    assert.isTrue(b.ended)
  })

  it("closes a client for which 257 control packets wait", () => {
    const harness = new CoreHarness({ routingPerSecond: 10_000, clientControlFrames: 256 })
    const { a, ab, b } = harness.linked()
    b.takes = 0
    a.send(packets.data(ab, 1))
    const pings = Array.from({ length: 300 }, () => packets.ping(...pingId))
    const bytes = b.session.seal(...pings)
    let at = 0
    while (at < bytes.length && !b.ended) at = b.sendRaw(bytes, at)
    assert.isTrue(b.ended)
    assert.deepStrictEqual(harness.core.counters.closed, { "control queue full": 1 })
  })

  it("asks to stop reading from a blocked client before its own pings fill its queue", () => {
    const harness = new CoreHarness()
    const { a, ab, b } = harness.linked()
    b.takes = 0
    a.send(packets.data(ab, 1))
    const bytes = b.session.seal(...Array.from({ length: 2_000 }, () => packets.ping(...pingId)))
    let at = 0
    while (at < bytes.length && !b.client.output.isCrowded) at = b.sendRaw(bytes, at)
    assert.isTrue(b.client.output.isCrowded)
    assert.isFalse(b.ended)
    let told = false
    b.client.onRoom = () => {
      told = true
    }
    b.drain()
    assert.isTrue(told)
    assert.isFalse(b.client.output.isCrowded)
  })

  it("peers that come and go cannot close somebody who is merely slow", () => {
    const harness = new CoreHarness({ routingPerSecond: 100_000 })
    const { a, ab, b, ba } = harness.linked()
    b.takes = 0
    a.send(packets.data(ab, 1))
    b.take()
    for (let i = 0; i < 1_000; i++) a.send(packets.disconnect(ab), packets.route(b.keys.publicKey))
    a.send(packets.disconnect(ab))
    assert.isFalse(b.ended)
    b.drain()
    assert.deepStrictEqual(b.take(), [[3, ba]])
  })

  it("a reused slot never receives a stale id's data", () => {
    const harness = new CoreHarness()
    const { a, ab, b, ba } = harness.linked()
    const c = harness.login()
    c.send(packets.route(b.keys.publicKey))
    b.takes = 0
    a.send(packets.data(ab, 1))
    b.take()
    a.send(packets.data(ab, 2), packets.data(ab, 3))
    b.send(packets.disconnect(ba), packets.route(c.keys.publicKey))
    c.send(packets.data(16, 9))
    b.drain()
    assert.deepStrictEqual(b.take(), [[1, ba, ...c.keys.publicKey], [2, ba], [ba, 9]])
  })
})

describe("relay server, buckets", () => {
  it("asks to pause a client that sends more than 200 routing and notification packets a second, and loses none", () => {
    const harness = new CoreHarness()
    const client = harness.login()
    const bytes = client.session.seal(...Array.from({ length: 1_000 }, () => packets.route(client.keys.publicKey)))
    let at = 0
    let seconds = 0
    let answers = 0
    while (at < bytes.length) {
      at = client.sendRaw(bytes, at)
      answers += client.take().filter((plain) => plain[0] === 1).length
      assert.isAtMost(answers, 200 + seconds * 200 + 322)
      while (client.client.debt(harness.core.now) > 0) {
        harness.pass(250)
        seconds += 0.25
      }
    }
    assert.strictEqual(answers, 1_000)
    assert.isAtLeast(seconds, 3.75)
    assert.isAtMost(seconds, 4.75)
  })

  it("charges connect and disconnect notifications to the same bucket, out of band to one of 100 a second", () => {
    const harness = new CoreHarness()
    const client = harness.login()
    for (let i = 0; i < 240; i++) client.send(packets.connect(16))
    assert.isAbove(client.client.debt(harness.core.now), 150)
    const other = harness.login()
    for (let i = 0; i < 110; i++) other.send(packets.oob(client.keys.publicKey, Uint8Array.of(1)))
    assert.closeTo(other.client.debt(harness.core.now), 100, 1)
    assert.strictEqual(harness.login().client.debt(harness.core.now), 0, "others are not charged")
  })

  it("charges pings and data as bytes only, and bytes only when there is a limit", () => {
    const harness = new CoreHarness()
    const { a, ab } = harness.linked()
    for (let i = 0; i < 2_000; i++) a.send(packets.ping(...pingId), packets.data(ab, 1))
    assert.strictEqual(a.client.debt(harness.core.now), 0)
    const limited = new CoreHarness({ bytesPerSecond: 10_000 })
    const client = limited.login()
    for (let i = 0; i < 1_000; i++) client.send(packets.ping(...pingId))
    assert.isAbove(client.client.debt(limited.core.now), 1_600)
  })

  it("time in which the relay did not read is not the client's silence", () => {
    const harness = new CoreHarness()
    const client = harness.login()
    harness.pass(30_000)
    for (let i = 0; i < 5; i++) {
      harness.pass(5_000)
      client.client.paused(5_000)
    }
    assert.isFalse(client.ended)
    harness.pass(10_000)
    assert.isTrue(client.ended)
  })
})

it("a defect in one connection's handling ends that connection only, and is kept for the log", () => {
  const harness = new CoreHarness()
  const { a, ab, b } = harness.linked()
  const broken = harness.login()
  Object.defineProperty(broken.client, "expired", {
    value: () => {
      throw new Error("a bug")
    }
  })
  harness.pass(250)
  assert.isTrue(broken.ended)
  assert.deepStrictEqual(harness.core.counters.closed, { defect: 1 })
  assert.strictEqual(harness.core.defects.length, 1)
  a.send(packets.data(ab, 1))
  assert.strictEqual(b.take().length, 1)
})
