// Package fakeicloud is a fake of iCloud: a local server of the web API that
// icloud.com's own pages use, as far as rclone's back end "iclouddrive" needs
// it. Apple documents none of this API and may change it any day; everything
// about iCloud in Keepsake is experimental for that reason. Nothing here was
// measured against Apple's servers by this project.
//
// The unmodified back end reaches the fake over HTTPS under Apple's host
// names, through package fakenet.
//
// # What is modelled, and who says so
//
// rclone: backend/iclouddrive of rclone 1.76.0 (session.go, srp.go, drive.go).
// pyicloud: timlaing/pyicloud (services/drive.py, session.py, and the recorded
// answers in tests/const_drive.py and const_login.py). CloudKit: Apple's
// "CloudKit Web Services Reference", chapter "Error Codes", the one document
// of Apple's own: it describes a sibling API, whose error
// VALIDATING_REFERENCE_ERROR the document service is known to send
// (rclone issue 9729).
//
//   - idmsa.apple.com, signing in: authorize/signin, federate, signin/init and
//     signin/complete with SRP-6a over the 2048-bit group of RFC 5054 and
//     SHA-256, no user name in x, password first through PBKDF2 ("s2k",
//     "s2k_fo") (rclone; gsalogin's README). The answers 200, 409 with
//     authType hsa2, 401 with -20101 for a wrong password (fastlane pull
//     request 14387, icloudpd), 403 with -20209 for a locked account
//     (fastlane issue 14017), and 503 in HTML after too many attempts
//     (icloudpd issue 1062). The headers scnt, X-Apple-ID-Session-Id,
//     X-Apple-Session-Token, X-Apple-Auth-Attributes, X-Apple-TwoSV-Trust-Token.
//   - Two-factor: GET auth (trusted numbers), PUT and POST
//     verify/trusteddevice/securitycode, verify/phone, verify/phone/securitycode,
//     2sv/trust. A code has six digits; a wrong one is 400 with -21669 (XcodesApp
//     issue 35, icloudpd pull request 1327). Since mid-2026 a right one is
//     answered 409 with a session token (rclone): [Account.Conflict409].
//   - setup.icloud.com: accountLogin, validate, requestPCS; cookies
//     X-APPLE-WEBAUTH-*; "Invalid Session Token" with 400 (rclone issue 8155);
//     hsaChallengeRequired when the trust token is not accepted (pyicloud's
//     LOGIN_2FA). Trust tokens hold for 30 days (rclone pull request 7717).
//   - A session that ended: 421, {"reason":"Missing X-APPLE-WEBAUTH-TOKEN
//     cookie","error":1} (rclone issue 8824) and {"reason":"Invalid global
//     session","error":2}; 423 "Missing PCS cookies from the request" with
//     Advanced Data Protection (rclone issue 8310).
//   - drivews: retrieveItemDetails, retrieveItemDetailsInFolders (all children
//     in one answer, no pages; ID_INVALID with status 200 for a folder that is
//     not there: pyicloud's DRIVE_ROOT_INVALID), createFolders (status UNKNOWN
//     is known: rclone, the io-ts types of iclouddrive clients),
//     moveItemsToTrash and deleteItems (pyicloud), renameItems, moveItems,
//     etags and ETAG_CONFLICT (rclone). Names are split into name and extension.
//   - docws: upload/web, update/documents with add_file, download/by_id,
//     list/lookup_by_path. Content goes to p31-contentws.icloud.com/…/singleFileUpload
//     (raw as rclone sends it, or multipart as pyicloud does) and comes from a
//     URL on cvws.icloud-content.com that is good without cookies for a while.
//     A receipt is missing for empty files (pyicloud).
//   - Deleted things go to "Recently Deleted" (TRASH_ROOT, dateExpiration in 30
//     days: pyicloud's DRIVE_TRASH_WORKING) and count against the quota till then.
//   - Errors of drivews and docws carry CloudKit's codes: QUOTA_EXCEEDED 413,
//     THROTTLED 429 with retryAfter seconds in the body, TRY_AGAIN_LATER 503,
//     NOT_FOUND 404. THROTTLED was seen with 503, too (icloud-docker issue 202).
//
// # What is not known, and what the fake does
//
//   - What a full account answers to the web drive: here 413 QUOTA_EXCEEDED to
//     upload/web, as CloudKit does.
//   - What add_file with allow_conflict does when the name is taken (rclone and
//     pyicloud both set it): here the new file is called "name 2", as the Finder
//     would. [Account.Duplicates] keeps both under one name.
//   - How far a listing lags behind: rclone waits a second after a createFolders
//     that said UNKNOWN and looks again; nobody states a bound. Here it does
//     not lag unless [Server.SetLag] or [Server.Freeze] is used.
//   - Whether names that differ in case alone are one name: here they are, as
//     rclone compares them so.
//   - What createFolders answers when the name is taken: here UNKNOWN.
//   - How many requests are allowed: no number is published. None is enforced
//     unless [Server.Throttle] is used.
//   - Whether an unknown Apple ID gets a made-up salt or an error: here a salt.
//   - Accounts without two-factor: not modelled (rclone cannot use them: it
//     wants a trust token). Nor are China's hosts, shared folders, packages,
//     security keys, app libraries, Photos.
package fakeicloud
