// A job log that is away, slow, or busy with somebody else.
import { DatabaseSync } from 'node:sqlite'
import { Client } from 'pg'
import { tearApart } from '../../faults/stories/common.ts'
import { lasts } from '../../fleet/looks.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import type { SoakFault } from '../faults.ts'
import type { Place } from '../../fleet/place.ts'
import { between, present } from './maker.ts'
import type { Maker } from './maker.ts'

async function onDatabase(place: Place, act: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client(present(place.postgres).url)
  client.on('error', () => {})
  await client.connect()
  try {
    await act(client)
  } finally {
    await client.end()
  }
}

/** Nobody else reads or writes meanwhile, or on SQLite: writes. */
async function whileLocked({ place }: Fleet, act: () => Promise<void>): Promise<void> {
  if (place.log.startsWith('sqlite:')) {
    const file = new DatabaseSync(place.log.slice('sqlite:'.length), { timeout: 5_000 })
    try {
      file.exec('begin immediate')
      await act()
      file.exec('rollback')
    } finally {
      file.close()
    }
    return
  }
  await onDatabase(place, async (client) => {
    await client.query('begin')
    await client.query('lock table faults.live, faults.jobs, faults.workers in access exclusive mode')
    await act()
    await client.query('rollback')
  })
}

export const databaseMakers = {
  async 'database backends killed'(fleet) {
    for (let round = 0; round < 3; round += 1) {
      await onDatabase(fleet.place, (client) =>
        client.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
            where pid <> pg_backend_pid() and backend_type = 'client backend'`,
        ),
      )
      await fleet.goesOn()
    }
    await fleet.takesAgain()
  },

  async 'database connections torn'(fleet) {
    await tearApart(present(fleet.place.proxies.log), () => fleet.goesOn(10))
    await fleet.takesAgain()
  },

  async 'database replies lost'(fleet, choice) {
    const proxy = present(fleet.place.proxies.log)
    proxy.blackHole('down')
    await lasts(between(1_000, 6_000, choice))
    proxy.heal()
    await fleet.takesAgain()
  },

  async 'database down'(fleet, choice) {
    const postgres = present(fleet.place.postgres)
    await postgres.kill()
    await lasts(between(1_000, 20_000, choice))
    await postgres.start()
    await fleet.takesAgain()
  },

  async 'database locked'(fleet, choice) {
    await whileLocked(fleet, () => lasts(between(1_000, 12_000, choice)))
    await fleet.takesAgain()
  },

  async 'database slow'(fleet, choice) {
    const proxy = present(fleet.place.proxies.log)
    proxy.delay(200)
    await Promise.all([fleet.goesOn(), lasts(between(2_000, 8_000, choice))])
    proxy.heal()
    await fleet.takesAgain()
  },
} satisfies Partial<Record<SoakFault, Maker>>
