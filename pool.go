package mysqlsession

import _ "github.com/jackc/puddle/v2"
