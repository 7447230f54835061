-- What an evaluation rests on, whose result it is where it was not done again, and its numbers.
ALTER TABLE validation ADD COLUMN inputs_digest TEXT NOT NULL DEFAULT '';
ALTER TABLE validation ADD COLUMN reused TEXT NOT NULL DEFAULT '';
ALTER TABLE validation ADD COLUMN metrics TEXT;

DROP VIEW v_validation;
CREATE VIEW v_validation AS
  SELECT id, attempt_id, step_id, run_id, gate, n, result, message, plugin ->> '$.name' AS plugin, plugin ->> '$.version' AS plugin_version,
         plugin ->> '$.digest' AS plugin_digest, command, exit_code, signal, duration AS duration_ns, stdout_digest, stderr_digest, tree, findings,
         strftime('%Y-%m-%dT%H:%M:%S', at / 1000000000, 'unixepoch') || printf('.%09dZ', at % 1000000000) AS at,
         inputs_digest, reused, metrics AS metrics_micros
  FROM validation;
