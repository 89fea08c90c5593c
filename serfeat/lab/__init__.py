"""The lab: a local web page on which speech is heard, seen, predicted and taught.

Conventions
-----------
The server listens on this computer only, answers only a page that was opened with its token, and
keeps what is uploaded for an hour at most. It holds no settings of its own: whatever a view shows
is computed by the same functions as a table or a comparison.

Every view is a module here with ``routes(lab)``, below a prefix of its own, and a module of the
page with ``mount(panel, lab)``. A view depends on `serfeat.lab.state` alone, never on another view.

Contents
--------
`answers` : JSON, binary blocks of arrays, errors.        `uploads`  : files from strangers.
`sounds`  : which recordings there are, by id.            `workers`  : warm, expendable processes.
`state`   : what all views share.                         `guards`   : who may ask at all.
`app`     : the routes of all views behind the guards.    `server`   : the port, and its end.
`sound_view`, `emotion`, `live`, `runs_view`, `corpus_view` : the views.
"""
