/**
 * Names what the tests against other programs lack on this machine, and the command that installs it. Installs nothing itself.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { delimiter, join } from "node:path"

const onPath = (name) => (process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, name)))

/** gcc answers with the full path of a library it finds, and with the bare name of one it does not. */
const libraryFound = (name) => {
  const { stdout } = spawnSync("gcc", [`-print-file-name=${name}`], { encoding: "utf8" })
  return existsSync(stdout?.trim() ?? "") && stdout.trim() !== name
}

/** Each version has a folder of its own, none of which is on the path. */
const postgresql = "/usr/lib/postgresql"
const postgresFound = existsSync(postgresql) &&
  readdirSync(postgresql).some((version) => existsSync(join(postgresql, version, "bin", "postgres")))

const tools = [
  { what: "gcc", packages: ["gcc"], found: onPath("gcc") },
  { what: "the C library's headers", packages: ["libc6-dev"], found: existsSync("/usr/include/stdio.h") },
  { what: "tox-bootstrapd", packages: ["toxcore-utils"], found: onPath("tox-bootstrapd") },
  { what: "libtoxcore.a", packages: ["libtoxcore-dev"], found: libraryFound("libtoxcore.a") },
  // The services are started by their path: /usr/sbin may not be on that of a user.
  { what: "nginx", packages: ["nginx-light"], found: existsSync("/usr/sbin/nginx") },
  { what: "ab", packages: ["apache2-utils"], found: onPath("ab") },
  { what: "sshd", packages: ["openssh-server"], found: existsSync("/usr/sbin/sshd") },
  { what: "ssh, scp and ssh-keygen", packages: ["openssh-client"], found: ["ssh", "scp", "ssh-keygen"].every(onPath) },
  { what: "PostgreSQL and psql", packages: ["postgresql"], found: postgresFound && onPath("psql") },
  { what: "ip and ss", packages: ["iproute2"], found: onPath("ip") && onPath("ss") },
  { what: "setpriv", packages: ["util-linux"], found: onPath("setpriv") }
]

const missing = tools.filter(({ found }) => !found)
if (missing.length > 0) {
  const packages = missing.flatMap((tool) => tool.packages).join(" ")
  process.stderr.write(
    `Missing for the tests against other programs: ${missing.map(({ what }) => what).join(", ")}.\n` +
      `On Debian 12, as root: apt-get install --no-install-recommends ${packages}\n`
  )
  process.exit(1)
}
