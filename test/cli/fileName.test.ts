import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as path from "node:path"
import { numbered, partName, safeName } from "../../src/cli/fileName.ts"

describe("names of received files", () => {
  const cases: ReadonlyArray<readonly [offered: string, stored: string]> = [
    ["report.pdf", "report.pdf"],
    ["Ärger über 北京.tar.gz", "Ärger über 北京.tar.gz"],
    ["../../etc/passwd", "__.._etc_passwd"],
    ["/etc/passwd", "_etc_passwd"],
    ["..", "_"],
    [".", "_"],
    ["", "_"],
    ["   ", "_"],
    ["..\\..\\boot.ini", "__.._boot.ini"],
    ["C:\\autoexec.bat", "C__autoexec.bat"],
    [".bashrc", "_bashrc"],
    [" .ssh", "_ssh"],
    ["name. . .", "name"],
    ["a\u0000b\nc\u001b[2J", "a_b_c_[2J"],
    ["invoice\u202excod.exe", "invoice_xcod.exe"],
    ["zero\u200bwidth", "zero_width"],
    ["half\ud800", "half_"],
    ["NUL", "_NUL"],
    ["com1.txt", "_com1.txt"],
    ["console.txt", "console.txt"],
    ["file.txt:stream", "file.txt_stream"],
    ["e\u0301", "\u00e9"]
  ]
  for (const [offered, stored] of cases) {
    it(`${JSON.stringify(offered)} becomes ${stored}`, () => assert.strictEqual(safeName(offered), stored))
  }

  it("a long name is cut between characters and keeps its extension", () => {
    assert.strictEqual(safeName(`${"a".repeat(300)}.tar`), `${"a".repeat(196)}.tar`)
    assert.strictEqual(safeName(`${"北".repeat(100)}.md`), `${"北".repeat(65)}.md`)
    assert.strictEqual(safeName(`${"😀".repeat(60)}`), "😀".repeat(50))
    assert.strictEqual(safeName(`x.${"y".repeat(300)}`), `x.${"y".repeat(198)}`)
    assert.strictEqual(safeName(`${"a".repeat(195)} .${"b".repeat(40)}`), "a".repeat(195) + " ." + "b".repeat(3))
    assert.strictEqual(safeName(`${"a".repeat(197)} . ${"b".repeat(40)}`), "a".repeat(197))
  })

  it("whatever is offered stays one visible name inside the folder, and is its own safe name", () => {
    const hostile = fc.string({
      unit: fc.constantFrom("/", "\\", ".", "..", "\u0000", "a", " ", "\u202e", "北", "😀", "\ud800", ":", "~", "con"),
      maxLength: 300
    })
    fc.assert(
      fc.property(fc.oneof(hostile, fc.string({ unit: "binary", maxLength: 600 })), (offered) => {
        const name = safeName(offered)
        assert.strictEqual(path.basename(name), name)
        assert.strictEqual(path.win32.basename(name), name)
        assert.strictEqual(path.dirname(path.resolve("/folder", name)), "/folder")
        assert.notMatch(name, /^\.|^\s|[\s.]$|[\p{Control}\p{Format}]/u)
        assert.isAtMost(Buffer.byteLength(numbered(name, 99)), 255)
        assert.isAtMost(Buffer.byteLength(partName(name, new Uint8Array(32))), 255)
        assert.strictEqual(safeName(name), name)
      }),
      { numRuns: 2_000 }
    )
  })

  it("numbers go before the extension", () => {
    assert.deepStrictEqual([0, 1, 12].map((at) => numbered("a.txt", at)), ["a.txt", "a (1).txt", "a (12).txt"])
    assert.strictEqual(numbered("README", 1), "README (1)")
    assert.strictEqual(numbered("_bashrc", 2), "_bashrc (2)")
  })

  it("an unfinished file is named after the whole file's SHA-256 too", () => {
    assert.strictEqual(partName("a.txt", new Uint8Array(32).fill(0xab)), "a.txt.abababababababab.part")
  })
})
