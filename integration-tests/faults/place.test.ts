import { inject } from 'vitest'
import { describePlace } from './describe.ts'
import { stories } from './stories.ts'

describePlace(inject('place'), stories)
