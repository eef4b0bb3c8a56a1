/**
 * One of the three processes of the upper bound, as plain socket callbacks: `source` seals each message twice and sends batches,
 * `relay` exchanges the outer layer, `target` opens both. On the wire: u16 big-endian length, sealed message. There is no protocol
 * around it, no acknowledgement and no window but TCP's; nothing that relays and encrypts end to end in Node can be faster.
 *
 *     node boundProcess.ts source|relay|target native|wasm
 */
import * as Net from "node:net"
import { boundCiphers, type CryptoName } from "./boundCiphers.ts"
import { serve, type Usage, usage } from "./childSide.ts"

const messageSize = 1_300
const sealedSize = messageSize + 2 * 16
const frameSize = sealedSize + 2
const batch = 48
const host = "127.0.0.1"

const key = (byte: number) => new Uint8Array(32).fill(byte)
const endToEnd = key(1)
const sourceToRelay = key(2)
const relayToTarget = key(3)

const [, , role, crypto] = process.argv
const ciphers = await boundCiphers(crypto as CryptoName)
let messages = 0
const mark = (): Usage & { readonly bytes: number } => ({ ...usage(), bytes: messages * messageSize })

/** Calls `onFrame` for each complete frame of a byte stream, with where its sealed message is. */
const framer = (onFrame: (bytes: Buffer, at: number, length: number) => void) => {
  let rest: Buffer | undefined
  return (chunk: Buffer) => {
    const bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk])
    let at = 0
    while (bytes.length - at >= 2) {
      const length = bytes[at]! << 8 | bytes[at + 1]!
      if (bytes.length - at - 2 < length) break
      onFrame(bytes, at + 2, length)
      at += 2 + length
    }
    rest = at < bytes.length ? bytes.subarray(at) : undefined
  }
}

const listen = (onSocket: (socket: Net.Socket) => void): Promise<number> =>
  new Promise((resolve) => {
    const server = Net.createServer({ noDelay: true }, (socket) => {
      socket.on("error", () => undefined)
      onSocket(socket)
    })
    server.listen(0, host, () => resolve((server.address() as Net.AddressInfo).port))
  })

const dial = (port: number): Promise<Net.Socket> =>
  new Promise((resolve) => {
    const socket = Net.connect({ port, host, noDelay: true }, () => resolve(socket))
    socket.on("error", () => undefined)
  })

const target = () => {
  const open = ciphers.openTwice(relayToTarget, endToEnd)
  const message = Buffer.alloc(4096)
  return listen((socket) => {
    socket.on(
      "data",
      framer((bytes, at, length) => {
        if (open(message, 0, bytes, at, length) !== messageSize || message[0] !== 7) throw new Error("a wrong message")
        messages++
      })
    )
  })
}

const relay = async (targetPort: number) => {
  const exchange = ciphers.exchange(sourceToRelay, relayToTarget)
  const next = await dial(targetPort)
  next.resume()
  return listen((socket) => {
    let out = Buffer.alloc(0)
    let used = 0
    const frames = framer((bytes, at, length) => {
      out[used] = bytes[at - 2]!
      out[used + 1] = bytes[at - 1]!
      used += 2 + exchange(out, used + 2, bytes, at, length)
      messages++
    })
    socket.on("data", (chunk) => {
      // What a chunk yields is never longer than the chunk and one frame that an earlier chunk began.
      out = Buffer.allocUnsafeSlow(chunk.length + frameSize)
      used = 0
      frames(chunk)
      if (used === 0 || next.write(out.subarray(0, used))) return
      socket.pause()
      next.once("drain", () => socket.resume())
    })
  })
}

const source = async (relayPort: number) => {
  const seal = ciphers.sealTwice(endToEnd, sourceToRelay)
  const message = Buffer.alloc(messageSize, 7)
  const socket = await dial(relayPort)
  const send = () => {
    const out = Buffer.allocUnsafeSlow(batch * frameSize)
    let used = 0
    for (let i = 0; i < batch; i++) {
      out[used] = sealedSize >> 8
      out[used + 1] = sealedSize & 0xff
      used += 2 + seal(out, used + 2, message, 0, messageSize)
      messages++
    }
    if (socket.write(out)) setImmediate(send)
    else socket.once("drain", send)
  }
  send()
}

/** Starts the role; the answer of `relay` and `target` is their port. */
serve({ start: (port: number) => role === "target" ? target() : role === "relay" ? relay(port) : source(port), mark })
