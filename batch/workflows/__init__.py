"""State machines of heavy work, in the Amazon States Language. Data, deployed by ``pulumi/``.

``heavy.asl.json`` wants substitutions written ``${Name}``: ``Queue`` (a job queue), ``Job...`` (a
job definition for each kind: ``JobTranscodePart`` runs ``transcode-part``) and ``WorkflowFunction``
(the function whose handler is ``worker.entrypoints.lambda_workflow``).
"""
