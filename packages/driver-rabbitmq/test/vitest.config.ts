import { testProject } from '../../../integration-tests/services/project.ts'

export default testProject({
  name: 'driver-rabbitmq',
  folder: import.meta.dirname,
  servers: true,
  together: true,
})
