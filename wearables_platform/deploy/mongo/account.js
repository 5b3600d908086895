// At the first start of an empty database: the account of the platform, which owns the collections of one database.
const password = require('fs').readFileSync('/run/secrets/mongo_client_password', 'utf8').trim();
db.getSiblingDB('wearables').createUser({
  user: 'wearables',
  pwd: password,
  roles: [{ role: 'readWrite', db: 'wearables' }, { role: 'dbAdmin', db: 'wearables' }],
});
