import * as Schema from "effect/Schema"

/** The asked-for cryptography library cannot be used here: it is not installed, or not built for this platform. */
export class ToxCryptoUnavailable extends Schema.TaggedError<ToxCryptoUnavailable>()("ToxCryptoUnavailable", {
  implementation: Schema.Literals(["sodium-native", "libsodium-wrappers"]),
  /** What the loader said, one line. */
  detail: Schema.String
}) {
  override get message(): string {
    const remedy = this.implementation === "sodium-native"
      ? "Install it with `npm install sodium-native`, or set CAUSEWAY_CRYPTO=wasm."
      : "It needs WebAssembly and globalThis.crypto."
    return `${this.implementation} could not be loaded (${this.detail}). ${remedy}`
  }
}
