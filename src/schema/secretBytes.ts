/** Memory for secrets. */
import { keySize } from "./Bytes.ts"

/**
 * 32 zero bytes for a secret key. V8 keeps arrays of up to 64 bytes inside its own heap, where the garbage collector moves them
 * and leaves copies behind; an array on a buffer of its own stays in place until it is wiped.
 */
export const allocateSecret = (): Uint8Array => new Uint8Array(new ArrayBuffer(keySize))
