/** Schema libraries that `init` writes for, when the project has one. */
export type SchemaLibrary = 'zod' | 'valibot'

export const exampleJob = 'example.greet'

const schemas = {
  zod: {
    from: `import { z } from 'zod'`,
    payload: 'z.object({ name: z.string() })',
    returns: 'z.object({ text: z.string() })',
  },
  valibot: {
    from: `import * as v from 'valibot'`,
    payload: 'v.object({ name: v.string() })',
    returns: 'v.object({ text: v.string() })',
  },
} as const satisfies Record<SchemaLibrary, unknown>

/** `mts` where the package says that its files are CommonJS: Node would not take an `import` in a `.ts` file. */
export type Extension = 'ts' | 'mts'

export function jobsFile(errand: string, library: SchemaLibrary | undefined): string {
  const head = `// What may be done. Applications and workers import it: no handler, no connection.\n`
  if (library === undefined) {
    return `${head}import { defineJob } from '${errand}'

export const greet = defineJob({
  name: '${exampleJob}', // explicit: it stands in the job log for as long as the job does
  // payload: any Standard Schema (zod, valibot, arktype, …) of what the job needs
  retry: { attempts: 3 },
})
`
  }
  const { from, payload, returns } = schemas[library]
  return `${head}import { defineJob } from '${errand}'
${from}

export const greet = defineJob({
  name: '${exampleJob}', // explicit: it stands in the job log for as long as the job does
  payload: ${payload},
  returns: ${returns},
  retry: { attempts: 3 },
})
`
}

export function workerFile(errand: string, library: SchemaLibrary | undefined, extension: Extension): string {
  const handler =
    library === undefined
      ? `handle(greet, (_payload, ctx) => {
      ctx.log.info({}, 'hello, world')
    }),`
      : `handle(greet, ({ name }, ctx) => {
      ctx.log.info({ who: name }, 'somebody is greeted')
      return { text: \`hello, \${name}\` }
    }),`
  return `// How it is done. Only workers load it: \`errand work\`.
import { defineWorker, handle } from '${errand}'
import { greet } from './jobs.${extension}'

export default defineWorker({
  concurrency: 10,
  handlers: [
    ${handler}
  ],
})
`
}

export function configFile(errand: string, extension: Extension): string {
  return `// Where. The same file for every environment: ERRAND_LOG and ERRAND_DRIVER say which database and which broker.
import { defineConfig } from '${errand}'

export default defineConfig({
  // log: 'postgres://…', // default: ERRAND_LOG, else (not in production) a SQLite file
  // driver: 'amqp://…', // default: ERRAND_DRIVER, else the job log's own database
  worker: './worker.${extension}',
})
`
}
