import { rabbitmq } from '@errand/driver-rabbitmq'
import { postgres } from '@errand/log-postgres'
import { getUrl } from '../servers/server.ts'
import { errandSubject } from './errand.ts'
import type { OpenSubject } from './subject.ts'

export const open: OpenSubject = (place) => {
  const { urls, space } = place
  const log = postgres({ url: getUrl(urls, 'postgres'), schema: space })
  return errandSubject({ log, driver: rabbitmq({ url: getUrl(urls, 'amqp'), prefix: space }) }, place)
}
