/**
 * One end of a bare stream in a process of its own, for comparison with direct links: TLS 1.3 with a pre-shared key, with the cipher and
 * buffers that direct links use, or plain TCP. Socket callbacks only. It loads the library and uses nothing else of it: what the garbage
 * collector does for the bytes that are received grows with everything that is loaded, and a program that could use direct links has it all.
 *
 *     node directRaw.ts tls|tcp SOCKETS
 */
import * as Net from "node:net"
import * as Tls from "node:tls"
import { highWaterMark } from "../../src/layers/nodeDirectStream.ts"
import { secureContext } from "../../src/layers/nodeDirectTls.ts"
import * as Library from "../../src/node.ts"
import { nowMs, serve, usage } from "./childSide.ts"
import { type DirectEchoes, letNagle } from "./directShared.ts"

/** Kept, so that all of it stays loaded. */
export const loaded = Library

const isTls = process.argv[2] === "tls"
const count = Number(process.argv[3])
const host = "127.0.0.1"
const psk = Buffer.alloc(32, 7)
/** Node's sockets take these; the types of TLS do not know all of them. */
interface RawOptions {
  readonly highWaterMark: number
  readonly pskCallback: () => unknown
}

const asServer = (raw: Net.Socket): Net.Socket => {
  const options: Omit<Tls.TLSSocketOptions, "pskCallback"> & RawOptions = {
    isServer: true,
    secureContext,
    highWaterMark,
    pskCallback: () => psk
  }
  return isTls ? new Tls.TLSSocket(raw, options as Tls.TLSSocketOptions) : raw
}

const asClient = (raw: Net.Socket): Net.Socket => {
  const options: Omit<Tls.ConnectionOptions, "pskCallback"> & RawOptions = {
    socket: raw,
    secureContext,
    highWaterMark,
    rejectUnauthorized: true,
    pskCallback: () => ({ identity: "bench", psk })
  }
  return isTls ? Tls.connect(options as Tls.ConnectionOptions) : raw
}

let bytes = 0
/** Bytes of a request that is answered; 0: nothing is. */
let requestSize = 0
const sockets: Array<Net.Socket> = []
const current = (): Net.Socket => {
  const [socket] = sockets
  if (socket === undefined) throw new Error("there is no connection")
  return socket
}

const listen = (): Promise<number> =>
  new Promise((resolve) => {
    const server = Net.createServer({ noDelay: true, highWaterMark }, (raw) => {
      const stream = asServer(raw)
      stream.on("error", () => undefined)
      let request = 0
      stream.on("data", (chunk) => {
        bytes += chunk.length
        if (requestSize === 0) return
        request += chunk.length
        if (request < requestSize) return
        request -= requestSize
        stream.write(Buffer.alloc(requestSize, 7))
      })
    })
    server.listen(0, host, () => resolve((server.address() as Net.AddressInfo).port))
  })

const connect = async (port: number): Promise<void> => {
  for (let i = 0; i < count; i++) await connectOne(port)
}

const connectOne = (port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const options: Net.TcpNetConnectOpts & Pick<RawOptions, "highWaterMark"> = {
      port,
      host,
      noDelay: true,
      highWaterMark
    }
    const raw = Net.connect(options, () => {
      const stream = asClient(raw)
      sockets.push(stream.on("error", reject))
      if (isTls) stream.once("secureConnect", () => resolve())
      else resolve()
    }).on("error", reject)
  })

/** Sends for ever, over every connection. */
const flood = (size: number): void => {
  const chunk = Buffer.alloc(size, 7)
  for (const stream of sockets) {
    const send = () => {
      while (stream.write(chunk));
      stream.once("drain", send)
    }
    send()
  }
}

const echoes = ({ count: wanted, size, warm, writes }: DirectEchoes): Promise<ReadonlyArray<number>> =>
  new Promise((resolve) => {
    const stream = current()
    const part = Buffer.alloc(size / writes, 7)
    const times: Array<number> = []
    let round = 0
    let sent = 0
    let left = 0
    const next = () => {
      sent = nowMs()
      left = size
      stream.write(part)
      for (let i = 1; i < writes; i++) setImmediate(() => stream.write(part))
    }
    stream.on("data", (chunk) => {
      left -= chunk.length
      if (left > 0) return
      if (round++ >= warm) times.push(nowMs() - sent)
      if (times.length < wanted) next()
      else resolve(times)
    })
    next()
  })

serve({
  listen,
  connect,
  answer: (size: number) => {
    requestSize = size
  },
  flood: ({ size }: { readonly size: number }) => flood(size),
  echoes,
  letNagle,
  mark: () => ({ ...usage(), bytes })
})
