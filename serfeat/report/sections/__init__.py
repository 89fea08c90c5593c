"""The sections of the page: each a function of the run, without blocks where it has no numbers.

Everything made from speaker-dependent folds, synthetic speech or a run that was not linted says so
where it stands, because tables and figures are copied without their page.

Contents
--------
`scores`     : the gap, the leaderboards, the control.
`errors`     : confusions, speakers, calibration, fairness.
`beyond`     : noise, other corpora.
`inside`     : importance, gates, tuning, training, time and size.
`dimensions` : scores of ratings instead of emotions.
`origin`     : method, corpus, provenance, how to cite, how to read.
"""
