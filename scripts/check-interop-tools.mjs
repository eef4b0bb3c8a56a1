/**
 * Names what the tests against c-toxcore lack on this machine, and the command that installs it. Installs nothing itself.
 */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { delimiter, join } from "node:path"

const onPath = (name) => (process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, name)))

/** gcc answers with the full path of a library it finds, and with the bare name of one it does not. */
const libraryFound = (name) => {
  const { stdout } = spawnSync("gcc", [`-print-file-name=${name}`], { encoding: "utf8" })
  return existsSync(stdout?.trim() ?? "") && stdout.trim() !== name
}

const tools = [
  { what: "gcc", packages: ["gcc"], found: onPath("gcc") },
  { what: "the C library's headers", packages: ["libc6-dev"], found: existsSync("/usr/include/stdio.h") },
  { what: "tox-bootstrapd", packages: ["toxcore-utils"], found: onPath("tox-bootstrapd") },
  { what: "libtoxcore.a", packages: ["libtoxcore-dev"], found: libraryFound("libtoxcore.a") }
]

const missing = tools.filter(({ found }) => !found)
if (missing.length > 0) {
  const packages = missing.flatMap((tool) => tool.packages).join(" ")
  process.stderr.write(
    `Missing for the tests against c-toxcore: ${missing.map(({ what }) => what).join(", ")}.\n` +
      `On Debian 12, as root: apt-get install --no-install-recommends ${packages}\n`
  )
  process.exit(1)
}
