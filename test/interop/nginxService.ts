/** Debian's nginx, serving the files of one folder on loopback. */
import * as Effect from "effect/Effect"
import { mkdirSync, writeFileSync } from "node:fs"
import * as Path from "node:path"
import * as Command from "./command.ts"
import * as LocalService from "./localService.ts"

const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]

/** One process, so that nothing remains of it once it has ended. Nothing is read or written outside the folder. */
const configuration = (folder: string, port: number): string => `
daemon off;
master_process off;
pid ${folder}/pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  default_type application/octet-stream;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join("\n  ")}
  server {
    listen 127.0.0.1:${port};
    root ${folder}/files;
  }
}
`

export interface Nginx {
  /** Whatever is in it is served under its name. */
  readonly files: string
}

export const start = Effect.fnUntraced(function*(port: number) {
  const folder = yield* Command.folder
  const files = Path.join(folder, "files")
  mkdirSync(files)
  writeFileSync(Path.join(folder, "conf"), configuration(folder, port))
  yield* LocalService.start({
    command: "/usr/sbin/nginx",
    args: ["-p", folder, "-c", Path.join(folder, "conf"), "-e", "stderr"],
    port
  })
  return { files } satisfies Nginx
})
