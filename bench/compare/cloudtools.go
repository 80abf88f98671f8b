package main

// cloudTools are what is compared over S3: SERVER is host and port, ACCESS and SECRET
// open it, the bucket is bench. Each has its own defaults, its cache too; a restore is
// that of a new device, with neither cache nor configuration.
var cloudTools = []tool{
	{
		id: "restic", name: "restic (zstd)", program: "restic", version: "restic version",
		env: []string{
			"RESTIC_REPOSITORY=s3:http://$SERVER/bench/restic", "RESTIC_PASSWORD=bench", "RESTIC_CACHE_DIR=$STORE.cache",
			"AWS_ACCESS_KEY_ID=$ACCESS", "AWS_SECRET_ACCESS_KEY=$SECRET", "AWS_DEFAULT_REGION=us-east-1",
		},
		init:    "restic init --repository-version 2",
		backup:  `restic backup "$SRC"`,
		restore: `RESTIC_CACHE_DIR="$OUT/.cache" restic restore latest --target "$OUT/tree" && rm -rf "$OUT/.cache"`, tree: "$OUT/tree$SRC",
	},
	{
		id: "kopia", name: "kopia (zstd)", program: "kopia", version: "kopia --version", env: kopiaEnv,
		init: `kopia repository create s3 --bucket=bench --prefix=kopia/ --endpoint="$SERVER" --disable-tls --access-key="$ACCESS" --secret-access-key="$SECRET" --region=us-east-1 --cache-directory "$STORE.cache" && kopia policy set --global --compression=zstd`,
		// A new device connects first, and that is a part of restoring.
		backup: `kopia snapshot create "$SRC"`,
		restore: `export KOPIA_CONFIG_PATH="$OUT/config"
kopia repository connect s3 --bucket=bench --prefix=kopia/ --endpoint="$SERVER" --disable-tls --access-key="$ACCESS" --secret-access-key="$SECRET" --region=us-east-1 --cache-directory "$OUT/cache"
kopia snapshot restore "$SRC" "$OUT/tree"`, tree: "$OUT/tree",
	},
	{
		id: "crypt", name: "rclone crypt", program: "rclone", version: "rclone version",
		env:     []string{"RCLONE_CONFIG=$STORE.conf"},
		init:    cryptInit,
		backup:  `rclone sync "$SRC" crypt:`,
		restore: `rclone copy crypt: "$OUT"`, tree: "$OUT",
	},
	{
		id: "keepsake", name: "**keepsake**", program: "keepsake", version: "keepsake version",
		env: []string{"KEEPSAKE_CLOUDS=$STORE.clouds", "CLOUD=s3+http://$SERVER/bench/keepsake"},
		init: `printf %s "$SECRET" >"$STORE.secret"
keepsake-cloud login "s3+http://$SERVER" --user "$ACCESS" --secret-file "$STORE.secret" --region us-east-1 --store file
keepsake --profile "$STORE.profile" enable "$SRC" --cloud "$CLOUD" --key-out "$STORE.key"`,
		backup:  `keepsake --profile "$STORE.profile" backup`,
		restore: `keepsake --profile "$STORE.newphone" restore "$OUT" --cloud "$CLOUD" --key-file "$STORE.key"`, tree: "$OUT",
	},
}

// cryptInit configures rclone's encryption over S3. Modification times are kept in
// the objects, as its own documentation has it.
const cryptInit = `cat >"$STORE.conf" <<END
[s3]
type = s3
provider = Other
endpoint = http://$SERVER
access_key_id = $ACCESS
secret_access_key = $SECRET
region = us-east-1
[crypt]
type = crypt
remote = s3:bench/crypt
password = $(rclone obscure bench)
END`
