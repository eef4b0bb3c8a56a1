/**
 * What the sessions of a simulated world carry. Everything says which flow it belongs to, that is which end has sent it, and where in it, so that
 * nothing can arrive in another session, twice, or changed without being noticed.
 */
import * as Schema from "effect/Schema"
import { equalBytes } from "../../schema/Bytes.ts"
import type { SessionValue } from "../../schema/SessionValue.ts"

/** The word of a flow at an offset of four bytes. */
const word = (flow: number, at: number): number => {
  const mixed = Math.imul(at + 1 + Math.imul(flow + 1, 0x9e3779b1), 0x85ebca6b)
  return mixed ^ (mixed >>> 13)
}

const byte = (flow: number, offset: number): number => (word(flow, offset >>> 2) >>> ((offset & 3) * 8)) & 0xff

/** `size` bytes of a flow, from `offset` on. */
export const bytes = (flow: number, offset: number, size: number): Uint8Array => {
  const made = new Uint8Array(size)
  for (let i = 0; i < size; i++) made[i] = byte(flow, offset + i)
  return made
}

/** The first offset at which the bytes are not those of the flow; undefined when there is none. */
export const wrongByte = (flow: number, offset: number, received: Uint8Array): number | undefined => {
  for (let i = 0; i < received.length; i++) if (received[i] !== byte(flow, offset + i)) return offset + i
  return undefined
}

/** A message of a schema. */
export const Line = Schema.Struct({ flow: Schema.Int, at: Schema.Int, text: Schema.String })
export type Line = typeof Line.Type

export const line = (flow: number, at: number, size: number): Line => ({
  flow,
  at,
  text: "abcdefghijklmnopqrstuvwxyz"[(flow * 7 + at) % 26]!.repeat(size)
})

/** A plain value, of one kind after the other. `size`: bytes besides the flow and the place. */
export const value = (flow: number, at: number, size: number): SessionValue => {
  switch (at % 3) {
    case 0:
      return {
        _tag: "ValueVector",
        values: [{ _tag: "Ring32", value: flow }, { _tag: "Ring32", value: at }, {
          _tag: "Bytes",
          bytes: bytes(flow, at, size)
        }]
      }
    case 1:
      return {
        _tag: "Ring32Vector",
        values: Uint32Array.from(
          { length: 2 + (size >>> 2) },
          (_, i) => i === 0 ? flow : i === 1 ? at : word(flow, at + i)
        )
      }
    default: {
      const content = new Uint8Array(8 + size)
      new DataView(content.buffer).setUint32(0, flow)
      new DataView(content.buffer).setUint32(4, at)
      content.set(bytes(flow, at, size), 8)
      return { _tag: "Bytes", bytes: content }
    }
  }
}

/** The flow that a value says it belongs to. */
export const flowOf = (received: SessionValue): number | undefined => {
  switch (received._tag) {
    case "ValueVector": {
      const [first] = received.values
      return first?._tag === "Ring32" ? first.value : undefined
    }
    case "Ring32Vector":
      return received.values[0]
    case "Bytes":
      return received.bytes.length < 8 ? undefined : new DataView(
        received.bytes.buffer,
        received.bytes.byteOffset
      ).getUint32(0)
    default:
      return undefined
  }
}

/** Whether two values of `value` are equal. */
export const isEqual = (a: SessionValue, b: SessionValue): boolean => {
  if (a._tag === "Bytes" && b._tag === "Bytes") return equalBytes(a.bytes, b.bytes)
  if (a._tag === "Ring32" && b._tag === "Ring32") return a.value === b.value
  if (a._tag === "Ring32Vector" && b._tag === "Ring32Vector") {
    return a.values.length === b.values.length && a.values.every((element, i) => element === b.values[i])
  }
  if (a._tag === "ValueVector" && b._tag === "ValueVector") {
    return a.values.length === b.values.length && a.values.every((element, i) => isEqual(element, b.values[i]!))
  }
  return false
}

export const datagram = (flow: number, number: number, size: number): Uint8Array => {
  const content = new Uint8Array(8 + size)
  new DataView(content.buffer).setUint32(0, flow)
  new DataView(content.buffer).setUint32(4, number)
  content.set(bytes(flow, number, size), 8)
  return content
}

/** Undefined when it is no datagram of the flow. */
export const datagramNumber = (flow: number, received: Uint8Array): number | undefined => {
  if (received.length < 8) return undefined
  const view = new DataView(received.buffer, received.byteOffset)
  const number = view.getUint32(4)
  return view.getUint32(0) === flow && wrongByte(flow, number, received.subarray(8)) === undefined ? number : undefined
}
