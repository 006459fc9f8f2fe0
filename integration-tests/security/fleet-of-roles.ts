import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { createErrand } from '@errand/core'
import type { Errand } from '@errand/core'
import { quietLogger } from '@errand/testkit'

const names = ['owner', 'dispatcher', 'worker', 'operator', 'stranger'] as const
type RoleName = (typeof names)[number]

/** A job log whose owner is no superuser, and the roles that may do a part each. */
export interface RolesScene {
  readonly schema: string
  readonly role: (name: RoleName) => string
  readonly toUrl: (name: RoleName) => string
  /** An instance that logs in as this role. */
  readonly as: (name: RoleName) => Errand
  readonly sql: (text: string) => Promise<readonly Record<string, unknown>[]>
  readonly close: () => Promise<void>
}

export async function rolesScene(server: string): Promise<RolesScene> {
  const tag = randomUUID().replaceAll('-', '').slice(0, 10)
  const schema = `security_${tag}`
  const admin = new Client({ connectionString: server })
  await admin.connect()
  const role = (name: RoleName): string => `errand_${tag}_${name}`
  const toUrl = (name: RoleName): string => {
    const url = new URL(server)
    url.username = role(name)
    url.password = `secret-of-${name}`
    url.searchParams.set('schema', schema)
    url.searchParams.set('poolSize', '2')
    return url.href
  }
  const instances: Errand[] = []
  const as = (name: RoleName): Errand => {
    const errand = createErrand({ log: toUrl(name), logger: quietLogger })
    instances.push(errand)
    return errand
  }
  for (const name of names) await admin.query(`create role ${role(name)} login password 'secret-of-${name}'`)
  await admin.query(
    `do $$ begin execute format('grant create on database %I to ${role('owner')}', current_database()); end $$`,
  )
  const owner = as('owner')
  await owner.migrate()
  await owner.grants(
    { dispatcher: role('dispatcher'), worker: role('worker'), operator: role('operator') },
    { apply: true },
  )
  return {
    schema,
    role,
    toUrl,
    as,
    sql: async (text) =>
      (await admin.query<Record<string, unknown>>(text.replaceAll('errand.', `${schema}.`))).rows,
    close: async () => {
      await Promise.all(instances.map((errand) => errand.close()))
      for (const name of names)
        await admin.query(`drop owned by ${role(name)} cascade; drop role ${role(name)}`)
      await admin.end()
    },
  }
}
