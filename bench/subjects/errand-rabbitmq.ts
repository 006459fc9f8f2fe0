import { rabbitmq } from '@errand/driver-rabbitmq'
import { postgres } from '@errand/log-postgres'
import { getUrl } from '../servers/server.ts'
import { errandSubject } from './errand.ts'
import type { OpenSubject } from './subject.ts'

export const open: OpenSubject = ({ urls, space }) =>
  errandSubject({
    log: postgres({ url: getUrl(urls, 'postgres'), schema: space }),
    driver: rabbitmq({ url: getUrl(urls, 'amqp'), prefix: space }),
  })
