/**
 * Records what a stock relay and a stock peer send: the plaintext packets of a scripted session, with fixed keys. A relay client of
 * its own on libsodium, independent of the library. Needs tox-bootstrapd and the tools that test/interop/reference builds.
 */
import sodium from "libsodium-wrappers"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

const root = join(import.meta.dirname, "..")
const reference = join(root, "test", "interop", "reference")
const firstPort = 21_771
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const unhex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"))
const cat = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => Uint8Array.from(Buffer.concat(parts))
const run = (first: number, count: number): Uint8Array => Uint8Array.from({ length: count }, (_, i) => first + i & 0xff)

interface StockRelay {
  readonly port: number
  readonly publicKey: Uint8Array
  readonly address: string
}

/** A connection to a stock relay that yields the plaintext of each frame. */
class Client {
  readonly secretKey: Uint8Array
  readonly publicKey: Uint8Array
  private readonly socket: Socket
  private buffer: Uint8Array = new Uint8Array(0)
  private waiting: (() => void) | undefined
  private key = new Uint8Array(32)
  private sendNonce: Uint8Array = sodium.randombytes_buf(24)
  private receiveNonce: Uint8Array = new Uint8Array(24)

  private constructor(socket: Socket, secretKey: Uint8Array) {
    this.socket = socket
    this.secretKey = secretKey
    this.publicKey = sodium.crypto_scalarmult_base(secretKey)
    socket.on("data", (chunk) => {
      this.buffer = cat(this.buffer, chunk)
      this.waiting?.()
    })
  }

  static async open(relay: StockRelay, secretKey: Uint8Array): Promise<Client> {
    const socket = connect({ host: "127.0.0.1", port: relay.port, noDelay: true })
    await once(socket, "connect")
    const client = new Client(socket, secretKey)
    const ephemeral = sodium.randombytes_buf(32)
    const nonce = sodium.randombytes_buf(24)
    const payload = cat(sodium.crypto_scalarmult_base(ephemeral), client.sendNonce)
    socket.write(cat(client.publicKey, nonce, sodium.crypto_box_easy(payload, nonce, relay.publicKey, secretKey)))
    const hello = await client.bytes(96)
    const opened = sodium.crypto_box_open_easy(hello.slice(24), hello.slice(0, 24), relay.publicKey, secretKey)
    client.key = Uint8Array.from(sodium.crypto_box_beforenm(opened.slice(0, 32), ephemeral))
    client.receiveNonce = opened.slice(32)
    return client
  }

  private async bytes(size: number): Promise<Uint8Array> {
    const deadline = AbortSignal.timeout(10_000)
    while (this.buffer.length < size) {
      await new Promise<void>((resolve, reject) => {
        this.waiting = resolve
        deadline.addEventListener("abort", () => reject(new Error("the relay or the peer is silent")), { once: true })
      })
    }
    const taken = this.buffer.slice(0, size)
    this.buffer = this.buffer.slice(size)
    return taken
  }

  send(...parts: ReadonlyArray<Uint8Array>): void {
    const body = sodium.crypto_box_easy_afternm(cat(...parts), this.sendNonce, this.key)
    this.socket.write(cat(Uint8Array.of(body.length >> 8, body.length & 0xff), body))
    increment(this.sendNonce)
  }

  async next(): Promise<Uint8Array> {
    const [high = 0, low = 0] = await this.bytes(2)
    const body = await this.bytes(high * 256 + low)
    const plaintext = sodium.crypto_box_open_easy_afternm(body, this.receiveNonce, this.key)
    increment(this.receiveNonce)
    return plaintext
  }

  close(): void {
    this.socket.destroy()
  }
}

const increment = (nonce: Uint8Array): void => {
  for (let i = nonce.length - 1; i >= 0; i--) {
    nonce[i] = (nonce[i] ?? 0) + 1 & 0xff
    if (nonce[i] !== 0) return
  }
}

/** Two clients that find each other, talk and part: every type a stock relay sends, apart from onion and its own pings. */
const relaySession = async (relay: StockRelay) => {
  const a = await Client.open(relay, run(0x21, 32))
  const b = await Client.open(relay, run(0x41, 32))
  const steps: Array<{ readonly event: string; readonly to: "a" | "b"; readonly packet: string }> = []
  const record = async (event: string, to: "a" | "b") => {
    steps.push({ event, to, packet: hex(await (to === "a" ? a : b).next()) })
  }
  const confirm = async (client: Client, to: "a" | "b") => {
    client.send(Uint8Array.of(4), unhex("0102030405060708"))
    await record("pong of the first ping", to)
  }
  await confirm(a, "a")
  await confirm(b, "b")
  a.send(Uint8Array.of(4), new Uint8Array(8))
  await record("pong of ping id 0", "a")
  a.send(Uint8Array.of(0), b.publicKey)
  await record("response to a routing request", "a")
  a.send(Uint8Array.of(0), b.publicKey)
  await record("response to the same request again", "a")
  a.send(Uint8Array.of(0), a.publicKey)
  await record("response to a request for oneself", "a")
  b.send(Uint8Array.of(0), a.publicKey)
  await record("response to the request that completes the link", "b")
  await record("the requester is told of the link", "b")
  await record("the other side is told of the link", "a")
  a.send(Uint8Array.of(16), unhex("1b0102"))
  await record("data", "b")
  b.send(Uint8Array.of(6), a.publicKey, unhex("18ff"))
  await record("out of band", "a")
  b.send(Uint8Array.of(3, 16))
  await record("the other side gave its id back", "a")
  a.close()
  b.close()
  return { a: hex(a.publicKey), b: hex(b.publicKey), steps }
}

/** A stock peer calls us: cookie request, handshake and data, opened with the keys of both. */
const peerSession = async (relay: StockRelay) => {
  const ours = { real: run(0x21, 32), dht: run(0x61, 32), session: run(0xa1, 32) }
  const theirs = { real: run(0x01, 32), dht: run(0x41, 32) }
  const publicKey = (secret: Uint8Array) => sodium.crypto_scalarmult_base(secret)
  const client = await Client.open(relay, ours.dht)
  client.send(Uint8Array.of(4), unhex("0102030405060708"))
  await client.next()
  client.send(Uint8Array.of(0), publicKey(theirs.dht))
  const peer = spawn(
    join(root, ".tmp", "reference", "ctoxpeer"),
    [
      ...["initiate", "--control", "--once", "--duration", "20", "--relay", relay.address],
      ...["--peer", `${hex(publicKey(ours.real))}:${hex(publicKey(ours.dht))}`],
      ...["--real-sk", hex(theirs.real), "--dht-sk", hex(theirs.dht)]
    ],
    { stdio: ["pipe", "ignore", "inherit"] }
  )
  /** The next net_crypto packet of this kind, whether it comes as data or out of band. */
  const next = async (id: number): Promise<Uint8Array> => {
    for (;;) {
      const packet = await client.next()
      const inner = packet[0] === 7 ? packet.slice(33) : packet.slice(1)
      if ((packet[0] === 7 || (packet[0] ?? 0) >= 16) && inner[0] === id) return inner
    }
  }
  const reply = (...parts: ReadonlyArray<Uint8Array>) => client.send(Uint8Array.of(16), ...parts)

  const request = await next(24)
  const content = sodium.crypto_box_open_easy(request.slice(57), request.slice(33, 57), request.slice(1, 33), ours.dht)
  const cookie = run(0x30, 112)
  const cookieNonce = run(0x50, 24)
  reply(
    Uint8Array.of(25),
    cookieNonce,
    sodium.crypto_box_easy(cat(cookie, content.slice(64)), cookieNonce, publicKey(theirs.dht), ours.dht)
  )
  const handshake = await next(26)
  const inside = sodium.crypto_box_open_easy(
    handshake.slice(137),
    handshake.slice(113, 137),
    publicKey(theirs.real),
    ours.real
  )
  const baseNonce = run(0x70, 24)
  const answer = cat(baseNonce, publicKey(ours.session), sodium.crypto_hash(inside.slice(120)), run(0x90, 112))
  const answerNonce = run(0xb0, 24)
  reply(
    Uint8Array.of(26),
    inside.slice(120),
    answerNonce,
    sodium.crypto_box_easy(answer, answerNonce, publicKey(theirs.real), ours.real)
  )

  const key = sodium.crypto_box_beforenm(inside.slice(24, 56), ours.session)
  const nonce = inside.slice(0, 24)
  const data: Array<{ readonly packet: string; readonly plaintext: string }> = []
  /** The next data packet, other than repeated request packets. */
  const nextData = async (payload: string): Promise<void> => {
    for (;;) {
      const packet = await next(27)
      while (packet[1] !== nonce[22] || packet[2] !== nonce[23]) increment(nonce)
      const plaintext = sodium.crypto_box_open_easy_afternm(packet.slice(3), nonce, key)
      if (hex(plaintext).endsWith(payload)) {
        data.push({ packet: hex(packet), plaintext: hex(plaintext) })
        return
      }
    }
  }
  await nextData("01")
  const sealed = sodium.crypto_box_easy_afternm(cat(new Uint8Array(8 + 4), Uint8Array.of(1)), baseNonce, key)
  reply(Uint8Array.of(27), baseNonce.slice(22), sealed)
  await new Promise((resolve) => setTimeout(resolve, 300))
  for (const line of ["lossless a0010203", "lossy c8090807", "kill"]) {
    peer.stdin.write(`${line}\n`)
    await nextData(line === "kill" ? "02" : line.slice(line.indexOf(" ") + 1))
  }
  peer.stdin.end("quit\n")
  peer.kill()
  await once(peer, "exit")
  client.close()
  return {
    ours: { realSecretKey: hex(ours.real), dhtSecretKey: hex(ours.dht), sessionSecretKey: hex(ours.session) },
    theirs: { realSecretKey: hex(theirs.real), dhtSecretKey: hex(theirs.dht) },
    theirPublic: { real: hex(publicKey(theirs.real)), dht: hex(publicKey(theirs.dht)) },
    cookieRequest: { packet: hex(request), content: hex(content) },
    cookieGiven: hex(cookie),
    handshake: { packet: hex(handshake), content: hex(inside) },
    data
  }
}

/** Starts a stock relay, records both sessions and stops it. */
export const recordStock = async () => {
  await sodium.ready
  execFileSync("sh", [join(reference, "build.sh")], { stdio: "inherit" })
  const folder = mkdtempSync(join(tmpdir(), "stock-relay-"))
  const script = join(reference, "relay.sh")
  const started = JSON.parse(
    execFileSync("bash", [script, "start", String(firstPort), folder], { encoding: "utf8" })
  ) as { readonly pk: string; readonly port: number; readonly relay: string }
  const relay: StockRelay = { port: started.port, publicKey: unhex(started.pk), address: started.relay }
  try {
    return { relay: await relaySession(relay), peer: await peerSession(relay) }
  } finally {
    execFileSync("bash", [script, "stop", folder])
    rmSync(folder, { recursive: true, force: true })
  }
}
