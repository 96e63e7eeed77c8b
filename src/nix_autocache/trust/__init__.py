"""May this job push, and what could its code reach?

`policy.judge` decides; `isolation`, `probes` and `metadata` find every way to the key, each as a sentence.
"""
