rootProject.name = "flights-jvm"
