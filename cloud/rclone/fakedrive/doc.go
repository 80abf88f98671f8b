// Package fakedrive is a local server that plays Google Drive for tests of
// rclone's drive back end, which runs unmodified: behind the proxy of package
// fakenet it speaks HTTPS to www.googleapis.com, oauth2.googleapis.com and
// accounts.google.com by these names. It is a fake. A test that passes here
// says that we meet the behaviour listed below; only a run against Google
// (keepsake-cloud check) says that Google behaves so.
//
// Faithful, with the page of developers.google.com it is taken from, under
// /workspace/drive/api/guides unless another place is named:
//
//   - files.get by id sees every change at once; files.list shows what was
//     true some time ago, later still when it asks for a name ([Lag]). Google
//     promises nothing; that it happens, and for how long, is in kopia issue
//     90 (names lag, folders less), rclone issue 3114 and
//     googleapis/google-api-go-client issue 906 (minutes).
//   - Names are not unique, folders' neither (reference, files): every create
//     makes a new file. A row may come twice over pages
//     (tidyverse/googledrive issue 288).
//   - files.list: q with and, or, not, brackets, in parents, name, mimeType,
//     trashed and times (search-files, ref-search-terms); name = ignores case
//     (rclone); pages of 100, at most 1,000, and page tokens; spaces.
//   - fields: partial answers, and without it only kind, id, name, mimeType;
//     about.get refuses without it (fields-parameter). Numbers of 64 bits are
//     strings.
//   - Uploads: media, multipart, resumable (manage-uploads). A session takes
//     PUT and, as rclone sends, POST; 308 with Range, none while nothing came;
//     "bytes */N" asks; bytes sent again are passed over; what breaks off is
//     kept in blocks of 256 KiB, and of a chunk that is no multiple of it the
//     rest is not; a chunk that begins too far is 503 with text/plain
//     (googleapis/google-cloud-go issue 1507; seen of Drive too); a finished
//     session answers with its file again; a session is lost after a week:
//     404. Its URI is authority enough, but an Authorization that comes with
//     it must be good.
//   - Downloads: alt=media with ranges; 416 past the end, and for any range of
//     an empty file (rclone).
//   - Checksums MD5, SHA-1, SHA-256 of files (reference, files).
//   - Trash: files in it stay, count against the quota, and are listed unless
//     the query says otherwise; a folder takes along what is in it;
//     files.delete skips it (delete).
//   - Quota: about.get storageQuota; 403 storageQuotaExceeded when an upload
//     begins with a size that does not fit, and when it ends.
//   - Errors: the JSON of handle-errors with its reasons: 400 invalid,
//     401 authError and required, 403 userRateLimitExceeded,
//     rateLimitExceeded, dailyLimitExceeded, storageQuotaExceeded,
//     insufficientPermissions, 404 notFound, 416, 429, 500 and 503
//     backendError. Rates are not measured: a test plants them ([Rule]).
//   - The hidden folder of an app (appdata): space appDataFolder, made when
//     first used, seen by that app alone, nothing in it can be trashed or
//     moved out.
//   - Scopes (api-specific-auth): drive, drive.readonly, drive.file (an app
//     sees what it made, and not My Drive itself: files.get of root is 404, as
//     rclone has found), drive.appdata and its older name drive.appfolder.
//   - OAuth (/identity/protocols/oauth2/native-app; RFC 6749, RFC 7636): the
//     authorization endpoint with a loopback redirect, S256 or no verifier,
//     codes good once; the token endpoint for codes and refresh tokens; access
//     tokens expire; invalid_grant "Token has been expired or revoked." after
//     revocation; refresh answers bring no new refresh token; revocation.
//
// Not modelled: batch requests, HTTP/2, shared drives, permissions and
// sharing, comments, revisions (keepForever, 30 days), changes and channels,
// shortcuts, Google Docs and exports, labels and properties, files.copy and
// generateIds, resource keys, abuse scanning, the limits of 750 GB a day,
// 500,000 files a folder, 100 levels and 5 TB a file, multipart's advised
// 5 MB, quota units per minute as a measure, refresh tokens that expire by
// age or number, service accounts, device codes, more than one person.
// Requests for them are answered 501 and listed in [Counters].Foreign.
package fakedrive
