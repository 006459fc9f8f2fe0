import { testProject } from '../../../integration-tests/services/project.ts'

export default testProject({ name: 'testkit', folder: import.meta.dirname, servers: true, together: true })
