import { describePlace } from './describe.ts'
import { stories } from './stories.ts'

describePlace('rabbitmq', stories)
