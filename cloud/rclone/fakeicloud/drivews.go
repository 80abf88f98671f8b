package fakeicloud

import (
	"net/http"
	"time"
)

func (s *Server) drivews() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /retrieveItemDetails", s.inside(s.retrieve))
	mux.HandleFunc("POST /retrieveItemDetailsInFolders", s.inside(s.retrieveFolders))
	mux.HandleFunc("POST /createFolders", s.inside(s.createFolders))
	mux.HandleFunc("POST /moveItemsToTrash", s.inside(s.change((*drive).trash)))
	mux.HandleFunc("POST /deleteItems", s.inside(s.change((*drive).erase)))
	mux.HandleFunc("POST /renameItems", s.inside(s.rename))
	mux.HandleFunc("POST /moveItems", s.inside(s.move))
	return mux
}

// asked is an item in a request.
type asked struct {
	Drivewsid string `json:"drivewsid"`
	Etag      string `json:"etag"`
	ClientID  string `json:"clientId"`
	Name      string `json:"name"`
}

func (s *Server) retrieve(r *http.Request, a *account) (any, *refusal) {
	var in []struct {
		Items []asked `json:"items"`
	}
	if err := decode(r, &in); err != nil || len(in) != 1 {
		return nil, badRequest("not a list of items")
	}
	list := []object{}
	for _, want := range in[0].Items {
		list = append(list, a.drive.details(want.Drivewsid))
	}
	return list, nil
}

func (d *drive) details(drivewsid string) object {
	i := d.find(drivewsid)
	if i == nil {
		return object{"drivewsid": drivewsid, "status": "ID_INVALID"}
	}
	return d.describe(i)
}

// retrieveFolders lists folders whole: there are no pages.
func (s *Server) retrieveFolders(r *http.Request, a *account) (any, *refusal) {
	var in []asked
	if err := decode(r, &in); err != nil || len(in) == 0 {
		return nil, badRequest("not a list of folders")
	}
	when := s.seen(a.drive)
	list := []object{}
	for _, want := range in {
		o := a.drive.details(want.Drivewsid)
		if i := a.drive.find(want.Drivewsid); i != nil && i.folder {
			items := []object{}
			for _, c := range a.drive.children(i, when) {
				items = append(items, a.drive.describe(c))
			}
			o["items"], o["numberOfItems"] = items, len(items)
		}
		list = append(list, o)
	}
	return list, nil
}

// seen is the time whose tree a listing made now shows.
func (s *Server) seen(d *drive) time.Time {
	if !d.frozen.IsZero() {
		return d.frozen
	}
	return s.now().Add(-s.lag)
}

func (s *Server) createFolders(r *http.Request, a *account) (any, *refusal) {
	var in struct {
		Parent  string  `json:"destinationDrivewsId"`
		Folders []asked `json:"folders"`
	}
	if err := decode(r, &in); err != nil || len(in.Folders) == 0 {
		return nil, badRequest("no folders")
	}
	parent := a.drive.find(in.Parent)
	if parent == nil || !parent.folder {
		return nil, notFound("no such folder")
	}
	list := []object{}
	for _, f := range in.Folders {
		if f.Name == "" || a.drive.named(parent, f.Name) != nil {
			list = append(list, object{"clientId": f.ClientID, "status": "UNKNOWN"})
			continue
		}
		i := a.drive.add(&item{id: newID(), parent: parent, name: f.Name, folder: true, modified: s.now()})
		list = append(list, a.drive.describe(i))
	}
	return object{"destinationDrivewsId": in.Parent, "folders": list}, nil
}

// each runs fn for the items of a request whose etag is of today.
func each(r *http.Request, d *drive, fn func(i *item, want asked) string) (any, *refusal) {
	var in struct {
		Items []asked `json:"items"`
	}
	if err := decode(r, &in); err != nil || len(in.Items) == 0 {
		return nil, badRequest("no items")
	}
	list := []object{}
	for _, want := range in.Items {
		i := d.find(want.Drivewsid)
		if i == nil {
			list = append(list, object{"drivewsid": want.Drivewsid, "status": "ID_INVALID"})
			continue
		}
		status := "ETAG_CONFLICT"
		if want.Etag == i.tag() {
			status = fn(i, want)
		}
		o := d.describe(i)
		o["status"] = status
		list = append(list, o)
	}
	return object{"items": list}, nil
}

func (s *Server) change(how func(*drive, *item)) func(r *http.Request, a *account) (any, *refusal) {
	return func(r *http.Request, a *account) (any, *refusal) {
		return each(r, a.drive, func(i *item, _ asked) string {
			how(a.drive, i)
			return "OK"
		})
	}
}

func (s *Server) rename(r *http.Request, a *account) (any, *refusal) {
	return each(r, a.drive, func(i *item, want asked) string {
		if want.Name == "" || a.drive.named(i.parent, want.Name) != nil {
			return "UNKNOWN"
		}
		i.name = want.Name
		a.drive.touch(i)
		return "OK"
	})
}
