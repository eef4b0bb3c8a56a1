/**
 * Reads the golden vectors of this folder. `scripts/vectors.ts` writes them without knowing the library.
 */
import { readFileSync } from "node:fs"

/** The content of a vector file as it is. */
export const readVectors = <A>(name: string): A =>
  JSON.parse(readFileSync(new URL(`${name}.json`, import.meta.url), "utf8")) as A

export const unhex = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"))
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** A field value of a vector: `{ hex }` is bytes and `{ u64 }` a bigint, everything else stands for itself. */
export const revive = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(revive)
  if (typeof value !== "object" || value === null) return value
  if ("hex" in value && typeof value.hex === "string") return unhex(value.hex)
  if ("u64" in value && typeof value.u64 === "string") return BigInt(value.u64)
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, revive(field)]))
}

/** One packet: which codec, what value, which bytes. */
export interface PacketVector {
  readonly codec: string
  readonly tag: string
  readonly fields: Readonly<Record<string, unknown>>
  readonly hex: string
}

/** The value of a packet vector, tag included. */
export const packetValue = ({ tag, fields }: PacketVector): { readonly _tag: string } => ({
  _tag: tag,
  ...(revive(fields) as object)
})
