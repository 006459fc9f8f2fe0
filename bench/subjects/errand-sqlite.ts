import { join } from 'node:path'
import { errandSubject } from './errand.ts'
import type { OpenSubject } from './subject.ts'

export const open: OpenSubject = ({ folder, space }) =>
  errandSubject({ log: `sqlite:${join(folder, `${space}.db`)}` })
